"""Entering orders: the one way from the form of orders.json to versions in the record."""
