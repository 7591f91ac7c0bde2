"""Fixtures of tests of pages."""

from tests.browser import browser, watched

__all__ = ["browser", "watched"]
