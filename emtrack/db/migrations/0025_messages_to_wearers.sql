-- Messages to wearers ("charge your tag"), which go by a channel to whoever brings them: the maker of the tags, a gateway of text messages.

ALTER TABLE channels ADD COLUMN is_for_wearers boolean NOT NULL DEFAULT false;
ALTER TABLE alert_actions DROP CONSTRAINT alert_actions_action_check;
ALTER TABLE alert_actions ADD CONSTRAINT alert_actions_action_check CHECK (action IN (
    'acknowledged', 'unacknowledged', 'taken over', 'started', 'noted', 'called', 'messaged', 'authority told', 'escalated', 'suspended',
    'resumed', 'closed', 'reopened'));
ALTER TABLE alert_changes DROP CONSTRAINT alert_changes_what_check;
ALTER TABLE alert_changes ADD CONSTRAINT alert_changes_what_check CHECK (what IN (
    'raised', 'occurrence', 'amended', 'withdrawn', 'acknowledged', 'unacknowledged', 'taken over', 'started', 'noted', 'called',
    'messaged', 'authority told', 'escalated', 'suspended', 'resumed', 'closed', 'reopened', 'grouped', 'not confirmed'));
