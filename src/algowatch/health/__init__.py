"""Checks of a bot's health and their endpoints."""
