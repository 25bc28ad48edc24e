"""The kiosk in a project whose router sends reads to a replica, to which nothing ever comes."""
