"""Tags of the mail's templates."""
