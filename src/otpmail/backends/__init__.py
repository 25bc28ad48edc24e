"""Mail backends for Django's ``MAILERS``. Each is of use without the rest of otpmail."""
