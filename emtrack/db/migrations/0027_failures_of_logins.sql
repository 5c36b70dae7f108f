-- Wrong guesses of the last quarter of an hour, which a start of the service counts again.
CREATE INDEX account_events_failed ON account_events (happened_at) WHERE what = 'failed';
