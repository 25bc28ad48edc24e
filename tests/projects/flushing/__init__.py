"""An app with a ``flush`` of its own."""
