-- From where somebody logged in or failed to. A login name without an account may be a password that was typed in the wrong field: it is
-- not kept, and those that were kept are taken out.
ALTER TABLE account_events ADD COLUMN source text;     -- an address, of IPv6 its network of 64 bits; null: a command, or from before
UPDATE account_events e SET name = '(no account)' WHERE what = 'failed' AND NOT EXISTS (SELECT FROM users WHERE name = e.name);
