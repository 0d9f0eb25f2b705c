"""The last passes over an explained model, and writing it."""
