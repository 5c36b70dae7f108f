"""Brings messages to people who do not look at the pages: by e-mail and webhooks. They tell numbers, words and times; never a name or
a place."""
