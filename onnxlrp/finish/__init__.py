"""Finish: the last passes over an explained model, and its file."""
