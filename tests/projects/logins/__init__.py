"""Somebody's project: three ways to sign in by mail, none of which knows of otpmail."""
