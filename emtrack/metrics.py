"""The closed list of metrics. docs/operations.md explains each; a test compares the two."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One registry for one service. No label carries a person, a device or a place."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reports = Counter(
            "emtrack_reports_total", "Reports committed, by what became of them.", ["outcome"], registry=self.registry
        )
        self.clashes = Counter(
            "emtrack_seq_clashes_total",
            "Reports whose boot and seq were used for another content.",
            registry=self.registry,
        )
        self.wrong_signatures = Counter(
            "emtrack_wrong_signatures_total",
            "Reports that came with a signature that is not of a key of their device.",
            registry=self.registry,
        )
        self.answers = Counter(
            "emtrack_device_answers_total", "Answers to devices, by HTTP status.", ["status"], registry=self.registry
        )
        self.questions = Counter(
            "emtrack_questions_total",
            "What was worked out for readers, by the server that it was read from.",
            ["server"],
            registry=self.registry,
        )
        self.protocol_messages = Counter(
            "emtrack_protocol_messages_total",
            "Messages of trackers, by protocol and what became of them.",
            ["protocol", "outcome"],
            registry=self.registry,
        )
        self.broker_connected = Gauge(
            "emtrack_broker_connected", "1 while the MQTT broker is heard.", registry=self.registry
        )
        self.policy_reports = Counter(
            "emtrack_csp_reports_total",
            "Reports of browsers that a page wanted what the content security policy forbids.",
            registry=self.registry,
        )
        self.turns = Counter(
            "emtrack_turns_total", "Turns of the pipeline that were committed.", registry=self.registry
        )
        self.failed_turns = Counter(
            "emtrack_failed_turns_total",
            "Turns that were rolled back; nothing of them was acknowledged.",
            registry=self.registry,
        )
        self.turn_seconds = Histogram(
            "emtrack_turn_seconds",
            "Time of a turn, from its gathering to its commit.",
            buckets=_LATENCY_S,
            registry=self.registry,
        )
        self.stage_seconds = Counter(
            "emtrack_turn_stage_seconds_total",
            "Time that turns spent, by stage; what goes on beside a stage that waits for the database is in it.",
            ["stage"],
            registry=self.registry,
        )
        self.waiting = Gauge("emtrack_inbox_reports", "Reports that wait for a turn.", registry=self.registry)
        self.to_examine = Gauge(
            "emtrack_devices_to_examine",
            "Devices of which what is in quarantine is to be read again, because their orders changed or somebody asked for it.",
            registry=self.registry,
        )
        self.put_aside = Counter(
            "emtrack_put_aside_total",
            "Reports that were kept and read again, and that the database would not have as facts, or at which a turn failed.",
            registry=self.registry,
        )
        self.to_judge_again = Gauge(
            "emtrack_activations_to_judge_again",
            "Activations that wait to be judged again, in a turn or beside the turns.",
            registry=self.registry,
        )
        self.findings = Counter(
            "emtrack_finding_versions_total",
            "Findings recorded, by kind and change.",
            ["kind", "change"],
            registry=self.registry,
        )
        self.alerts = Counter("emtrack_alerts_total", "Alerts that were opened.", registry=self.registry)
        self.rejudged = Counter(
            "emtrack_rejudged_total",
            "Activations judged again from their start, by cause.",
            ["cause"],
            registry=self.registry,
        )
        self.faults = Counter(
            "emtrack_judgement_faults_total",
            "Judgements that failed; their activations need somebody.",
            registry=self.registry,
        )
        self.outages = Counter("emtrack_outages_total", "Our own outages that were recorded.", registry=self.registry)
        self.ready = Gauge(
            "emtrack_ready",
            "1 while turns are committed and judged time follows the clock.",
            registry=self.registry,
        )
        self.ahead = Gauge(
            "emtrack_judged_ahead_seconds",
            "How far judged time is ahead of the service's clock; 0 as it should be.",
            registry=self.registry,
        )
        self.judged_to = Gauge(
            "emtrack_judged_to_seconds",
            "Instant to which everything is judged, on the service's clock.",
            registry=self.registry,
        )
        self.sealed = Gauge(
            "emtrack_sealed_leaves", "Leaves of the log under its newest head.", registry=self.registry
        )
        self.unsealed = Gauge(
            "emtrack_unsealed_leaves", "Rows that wait to be put into the log.", registry=self.registry
        )
        self.seal_lag = Gauge(
            "emtrack_seal_lag_seconds",
            "How long ago a pass put everything that was there into the log.",
            registry=self.registry,
        )
        self.seal_failures = Counter(
            "emtrack_seal_failures_total",
            "Passes of sealing that failed; the rows wait for the next.",
            registry=self.registry,
        )
        self.hours_unpacked = Gauge(
            "emtrack_hours_unpacked",
            "Hours that are over of which positions are about to be packed.",
            registry=self.registry,
        )
        self.signal_lag = Gauge(
            "emtrack_signal_lag_seconds",
            "How long ago all that was found and entered had become signals and proposals.",
            registry=self.registry,
        )
        self.signal_failures = Counter(
            "emtrack_signal_failures_total",
            "Times that the making of signals began anew, or left something out.",
            registry=self.registry,
        )
        self.witness_failures = Counter(
            "emtrack_witness_failures_total",
            "Heads of the log that the outside witness did not take.",
            registry=self.registry,
        )
        self.deadlines_looked = Gauge(
            "emtrack_deadlines_looked_seconds",
            "How long ago the clock looked for alerts whose deadlines were missed.",
            registry=self.registry,
        )
        self.not_looked_at = Counter(
            "emtrack_not_looked_at_total",
            "Times that an alert or a task could not be looked at when its time had come; it is looked at again after a minute.",
            ["what"],
            registry=self.registry,
        )
        self.occasions = Counter(
            "emtrack_alert_occasions_total",
            "What the clock noted of alerts: raised, deadlines that were missed.",
            registry=self.registry,
        )
        self.tasks_looked = Gauge(
            "emtrack_tasks_looked_seconds",
            "How long ago the clock looked for tasks of the programme that are due.",
            registry=self.registry,
        )
        self.task_messages = Counter(
            "emtrack_task_messages_total",
            "Messages of tasks that were not done in time.",
            registry=self.registry,
        )
        self.deliveries = Counter(
            "emtrack_deliveries_total",
            "Attempts to bring messages to their targets, by what became of them.",
            ["outcome"],
            registry=self.registry,
        )
        self.undelivered = Gauge(
            "emtrack_undelivered",
            "Deliveries that should have arrived and did not, and that nobody has seen to.",
            registry=self.registry,
        )
        self.clock_offset = Gauge(
            "emtrack_clock_offset_seconds",
            "How far network time is ahead of the machine's clock, as asked last.",
            registry=self.registry,
        )
        self.stream_messages = Counter(
            "emtrack_stream_messages_total",
            "Messages of the stream between gateways and workers, by what became of them here.",
            ["outcome"],
            registry=self.registry,
        )
        self.put_off = Counter(
            "emtrack_shard_full_total",
            "Requests that a gateway put off because too much waits for their shard.",
            registry=self.registry,
        )
        self.shards = Gauge("emtrack_shards", "Shards that this worker holds.", registry=self.registry)
        self.unheard = Gauge(
            "emtrack_unheard_seconds",
            "For how long no gateway was heard, in the shard of this worker that has waited for longest.",
            registry=self.registry,
        )
        self.activations = Gauge("emtrack_activations", "Activations under judgement.", registry=self.registry)

    def exposed(self) -> bytes:
        """The metrics in the text form of Prometheus."""
        return generate_latest(self.registry)
