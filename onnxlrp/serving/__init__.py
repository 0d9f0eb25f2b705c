"""Folders that model servers load: an explained model with the configuration that a server needs."""
