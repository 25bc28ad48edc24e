"""The cooperative's kiosk: the first user of otpmail, and the proof that it works."""
