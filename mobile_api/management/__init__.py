"""The kiosk's commands."""
