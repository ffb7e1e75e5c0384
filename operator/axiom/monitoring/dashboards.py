"""The dashboards of charts/axiom/dashboards/: what each shows, and what a reader is to think of it."""

from __future__ import annotations

from axiom.monitoring.panels import Colour, Dashboard, Panel, Query, Row, Variable, bars, lines, stat

_NOW = "$__rate_interval"
_LATELY = "1h"
"""Tasks end seldom: a window in which some have."""
_RANGE = "$__range"

_CLASSES = Variable("class", "Agent class", "label_values(axiom_tasks, agent_class)", several=True)
_CLASS = Variable("class", "Agent class", "label_values(axiom_tasks, agent_class)")
_CHOSEN = 'agent_class=~"$class"'
_ONE = 'agent_class="$class"'


def _quantile(share: float, histogram: str, selector: str = "", window: str = _NOW, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return (
        f"histogram_quantile({share:g}, sum by ({labels}) (rate({histogram}_bucket{{{selector}}}[{window}])))"
    )


def _quantiles(histogram: str, selector: str = "", window: str = _NOW) -> tuple[Query, ...]:
    shares = ((0.5, "median"), (0.9, "9 of 10"), (0.99, "99 of 100"))
    return tuple(Query(_quantile(share, histogram, selector, window), name) for share, name in shares)


def _increase(counter: str, selector: str = "", by: str = "", window: str = _RANGE) -> str:
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (increase({counter}{{{selector}}}[{window}]))"


def _rate(counter: str, selector: str = "", by: str = "") -> str:
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (rate({counter}{{{selector}}}[{_NOW}]))"


def _share(part: str, whole: str) -> str:
    return f"{part} / ({whole} > 0)"


def _passes(selector: str) -> str:
    return _share(
        _increase("axiom_tasks_completed_total", f'{selector}, verdict="Pass"'),
        _increase("axiom_tasks_completed_total", selector),
    )


def _disagreements(selector: str, window: str = _RANGE) -> str:
    wrong = (
        f'sum (increase(axiom_claims_total{{{selector}, claim="Success", verdict="Fail"}}[{window}])'
        f' or increase(axiom_claims_total{{{selector}, claim="Failure", verdict="Pass"}}[{window}]))'
    )
    return _share(wrong, _increase("axiom_claims_total", f'{selector}, claim!="None"', window=window))


def _work(selector: str) -> Row:
    return Row(
        "Now, and in the chosen time",
        (
            stat(
                "At work",
                "Tasks whose agent works or whose work is being verified.",
                "short",
                f'sum (axiom_tasks{{{selector}, state=~"Running|Verifying"}})',
            ),
            stat(
                "To be looked at",
                "Tasks that a person has to look at: verification stayed inconclusive, or further rounds changed nothing.",
                "short",
                f'sum (axiom_tasks{{{selector}, state="NeedsReview"}})',
                (1, Colour.WARNING),
            ),
            stat(
                "Tasks that ended",
                "In the chosen time, however they ended.",
                "short",
                _increase("axiom_tasks_completed_total", selector),
            ),
            stat(
                "Passed",
                "The share of tasks that ended with the verdict Pass: every hard criterion holds.",
                "percentunit",
                _passes(selector),
                (0.5, Colour.WARNING),
                (0.8, Colour.GOOD),
                base=Colour.BAD,
            ),
            stat(
                "Claims that were wrong",
                "The share of agents that claimed Success where the verdict is Fail, or that gave up on what passes.",
                "percentunit",
                _disagreements(selector),
                (0.2, Colour.WARNING),
                (0.5, Colour.BAD),
            ),
            stat(
                "Attempts lost",
                "Attempts that ended by no fault of the agent: its pod was evicted, its node went away.",
                "short",
                _increase("axiom_attempts_lost_total", selector),
                (1, Colour.WARNING),
            ),
        ),
    )


def _outcomes(selector: str) -> Row:
    return Row(
        "Outcomes",
        (
            lines(
                "Tasks by state",
                "All tasks there are. Pending that grows: no operator, or tasks whose class is missing.",
                "short",
                Query(f"sum by (state) (axiom_tasks{{{selector}}})", "{{state}}"),
                stacked=True,
                width=4,
            ),
            bars(
                "Verdicts",
                "Tasks that ended in the chosen time. None: nothing could be verified.",
                "short",
                _increase("axiom_tasks_completed_total", selector, "verdict"),
                "{{verdict}}",
                width=4,
            ),
            bars(
                "Why tasks ended",
                "The reason of the condition Complete; the API reference explains each.",
                "short",
                f"{_increase('axiom_tasks_completed_total', selector, 'reason')} > 0",
                "{{reason}}",
                width=4,
            ),
            bars(
                "Claim against verdict",
                "What agents said at the end, and what was found. `Success, but Fail` is why nobody takes an agent's word.",
                "short",
                f"{_increase('axiom_claims_total', selector, 'claim, verdict')} > 0",
                "said {{claim}}: {{verdict}}",
                width=4,
            ),
            bars(
                "What was claimed wrongly",
                "Statements of agents that the evidence says otherwise of, by what they were about.",
                "short",
                f"{_increase('axiom_claim_disagreements_total', selector, 'about')} > 0",
                "{{about}}",
                width=4,
            ),
            bars(
                "Judges against verifiers",
                "What judges said of rounds that everything else passed. `Fail` is a veto.",
                "short",
                f"{_increase('axiom_judged_rounds_total', selector, 'verdict')} > 0",
                "{{verdict}}",
                width=4,
            ),
        ),
    )


def _time(selector: str) -> Row:
    per_task = (
        f"sum by (phase) (rate(axiom_task_phase_seconds_sum{{{selector}}}[{_LATELY}]))"
        f" / ignoring (phase) group_left () (sum (rate(axiom_task_seconds_count{{{selector}}}[{_LATELY}])) > 0)"
    )
    return Row(
        "Where the time goes",
        (
            lines(
                "From creation to outcome",
                "Of tasks that ended within an hour before.",
                "s",
                *_quantiles("axiom_task_seconds", selector, _LATELY),
            ),
            lines(
                "Seconds of a task by phase",
                "The mean of tasks that ended within an hour before: queue, pod, probe, workspace, agent, verification, sealing.",
                "s",
                Query(per_task, "{{phase}}"),
                stacked=True,
            ),
            lines(
                "Phases: 9 of 10 are shorter",
                "By phase. What is slow here and not in the mean is slow now and then: images to pull, nodes to start.",
                "s",
                Query(_quantile(0.9, "axiom_task_phase_seconds", selector, _LATELY, "phase"), "{{phase}}"),
            ),
            bars(
                "Rounds",
                "How many tasks ended after at most so many rounds, in the chosen time.",
                "short",
                _increase("axiom_task_rounds_bucket", selector, "le"),
                "at most {{le}}",
                width=12,
            ),
            lines(
                "Mean rounds of a task",
                "Of tasks that ended within an hour before. Near limits.maxRounds: the feedback does not help.",
                "short",
                Query(
                    _share(
                        f"sum (rate(axiom_task_rounds_sum{{{selector}}}[{_LATELY}]))",
                        f"sum (rate(axiom_task_rounds_count{{{selector}}}[{_LATELY}]))",
                    ),
                    "rounds",
                ),
                width=12,
            ),
        ),
    )


def _calls(selector: str, by: str) -> Row:
    return Row(
        "Calls to models, through the egress proxy",
        (
            lines(
                "Requests",
                "By the answer that agents got.",
                "reqps",
                Query(
                    _rate("axiom_egress_requests_total", selector, f"{by}, status"),
                    f"{{{{{by}}}}} {{{{status}}}}",
                ),
            ),
            lines(
                "How long answers take",
                "To the last byte: a streamed answer of a model takes as long as the model speaks.",
                "s",
                *_quantiles("axiom_egress_request_duration_seconds", selector),
            ),
            lines(
                "Bytes",
                "Of bodies: up is what agents send, down what vendors answer.",
                "Bps",
                Query(
                    _rate("axiom_egress_bytes_total", selector, f"{by}, direction"),
                    f"{{{{{by}}}}} {{{{direction}}}}",
                ),
            ),
        ),
    )


def _vitals(selector: str) -> Row:
    return Row(
        "What agents that work say of themselves",
        (
            lines(
                "Context of the fullest",
                "How full the context of an agent is, by class. Near 100: it forgets, or ends; `context` of the class says what to do then.",
                "percent",
                Query(
                    f"max by (agent_class) (axiom_agent_context_percent_highest{{{selector}}})",
                    "{{agent_class}}",
                ),
            ),
            lines(
                "Pace of the slowest",
                "Tokens that a model wrote by the second, in its last call.",
                "short",
                Query(
                    f"min by (agent_class) (axiom_agent_output_per_second_lowest{{{selector}}})",
                    "{{agent_class}}",
                ),
            ),
            lines(
                "Talk without action",
                "How often the model that talks most spoke and did nothing, since it last called a tool.",
                "short",
                Query(
                    f"max by (agent_class) (axiom_agent_talk_in_row_highest{{{selector}}})", "{{agent_class}}"
                ),
            ),
        ),
    )


def _cost(selector: str) -> Row:
    return Row(
        "Tokens and cost",
        (
            stat(
                "Cost of a verified success",
                "What all tasks that ended in the chosen time cost, for each that passed. Classes without prices cost nothing here.",
                "currencyUSD",
                _share(
                    _increase("axiom_cost_usd_total", selector),
                    _increase("axiom_tasks_completed_total", f'{selector}, verdict="Pass"'),
                ),
            ),
            bars(
                "Cost by verdict",
                "Of tasks that ended in the chosen time: what was spent on work that did not pass, too.",
                "currencyUSD",
                _increase("axiom_cost_usd_total", selector, "agent_class, verdict"),
                "{{agent_class}} {{verdict}}",
                width=10,
            ),
            bars(
                "Tokens of tasks that ended",
                "In the chosen time, by kind; each kind has its price.",
                "short",
                _increase("axiom_tokens_total", selector, "kind"),
                "{{kind}}",
                width=10,
            ),
            lines(
                "Spend an hour",
                "Of calls as they are answered, also of tasks that still run.",
                "currencyUSD",
                Query(
                    f"{_rate('axiom_egress_cost_usd_total', selector, 'agent_class')} * 3600",
                    "{{agent_class}}",
                ),
            ),
            lines(
                "Tokens by model",
                "As prices of the class name them. `other`: models without a price, whose cost nobody knows.",
                "short",
                Query(_rate("axiom_egress_tokens_total", selector, "model, kind"), "{{model}} {{kind}}"),
            ),
            lines(
                "How usage is known",
                "Told by the vendor; estimated, because the answer broke off; untold: the class's budgets cannot be held.",
                "reqps",
                Query(_rate("axiom_egress_usage_readings_total", selector, "certainty"), "{{certainty}}"),
            ),
        ),
    )


def overview() -> Dashboard:
    """For whoever has tasks."""
    return Dashboard(
        "axiom-overview",
        "Axiom / Overview",
        "What agents do, what came of it, how long it takes and what it costs.",
        (
            _work(_CHOSEN),
            _outcomes(_CHOSEN),
            _time(_CHOSEN),
            _vitals(_CHOSEN),
            _cost(_CHOSEN),
            _calls(_CHOSEN, "agent_class"),
        ),
        (_CLASSES,),
    )


def one_class() -> Dashboard:
    """For whoever maintains an AgentClass."""
    return Dashboard(
        "axiom-class",
        "Axiom / One agent class",
        "How one kind of agent does: outcomes, time, rounds, cost, calls to its models.",
        (_work(_ONE), _outcomes(_ONE), _time(_ONE), _vitals(_ONE), _cost(_ONE), _calls(_ONE, "route")),
        (_CLASS,),
    )


def operator_health() -> Dashboard:
    """For whoever runs Axiom."""
    return Dashboard(
        "axiom-operator",
        "Axiom / Operator health",
        "Whether the control plane works: who leads, what waits, the API server, evidence on its way, object storage.",
        (_control_plane(), _waiting(), _reconciling(), _evidence(), _processes()),
    )


def _control_plane() -> Row:
    return Row(
        "The control plane",
        (
            stat(
                "Operators that lead",
                "1 is right. 0: nobody acts on tasks. 2 for longer than a lease: two Prometheus series of one pod, or trouble.",
                "short",
                "sum (axiom_lease_held)",
                (1, Colour.GOOD),
                (2, Colour.WARNING),
                base=Colour.BAD,
            ),
            stat(
                "Programs that answer",
                "Of each kind, and their release.",
                "short",
                "sum by (component, version) (axiom_build_info)",
                (1, Colour.GOOD),
                legend="{{component}} {{version}}",
                base=Colour.BAD,
            ),
            stat(
                "Egress proxies ready",
                "Proxies that know the cluster. Agents of one that does not get error 503.",
                "short",
                "sum (axiom_egress_ready)",
                (1, Colour.GOOD),
                base=Colour.BAD,
            ),
            stat(
                "Clock is off by",
                "The operator's machine against the API server. Tasks are not measured by it; certificates and logs are.",
                "s",
                "max (abs (axiom_operator_clock_offset_seconds))",
                (30, Colour.WARNING),
            ),
            stat(
                "Certificates run out in",
                "The first of the channel's certificates. After that nobody reaches sandboxes.",
                "s",
                "min (axiom_certificate_expiry_timestamp_seconds) - time()",
                (7 * 86400, Colour.WARNING),
                (30 * 86400, Colour.GOOD),
                base=Colour.BAD,
            ),
            stat(
                "Evidence waits for storage",
                "How long a sandbox has had a whole segment of its ledger waiting for object storage.",
                "s",
                "max (axiom_gateway_ledger_lag_seconds)",
                (60, Colour.WARNING),
                (300, Colour.BAD),
                base=Colour.GOOD,
            ),
        ),
    )


def _waiting() -> Row:
    return Row(
        "What waits",
        (
            lines(
                "Tasks that wait, by what for",
                "Their agent has not started, or asks for an approval. Creating is ordinary; anything else that stays wants"
                " somebody to act.",
                "short",
                Query("sum by (reason) (axiom_tasks_waiting)", "{{reason}}"),
                Query("sum(axiom_approvals_waiting)", "an approval"),
                Query("max by (vendor) (axiom_vendor_breaker_open) > 0", "{{vendor}} does not answer"),
                stacked=True,
                width=6,
            ),
            lines(
                "The longest wait",
                "By what the task waits for.",
                "s",
                Query("max by (reason) (axiom_tasks_waiting_longest_seconds)", "{{reason}}"),
                Query("max(axiom_approvals_waiting_longest_seconds)", "an approval"),
                Query(
                    "max by (vendor) (clamp_min(axiom_vendor_next_try_timestamp_seconds - time(), 0))",
                    "until {{vendor}} is tried again",
                ),
                width=6,
            ),
            lines(
                "Vendors that fail",
                "Which share of the tasks that asked a vendor within five minutes fails by its fault. From half of them on, and"
                " two at least, all wait for it.",
                "percentunit",
                Query("max by (vendor) (axiom_vendor_failing_ratio)", "{{vendor}}"),
                width=6,
            ),
            lines(
                "Sandboxes",
                "By phase. Many that are Pending: no room on the nodes, or images that cannot be pulled.",
                "short",
                Query("sum by (role, phase) (axiom_sandboxes) > 0", "{{role}} {{phase}}"),
                stacked=True,
                width=6,
            ),
        ),
    )


def _reconciling() -> Row:
    return Row(
        "The operator's work",
        (
            lines(
                "Passes",
                "Passes of observe, plan and apply, and those that failed.",
                "ops",
                Query(_rate("axiom_reconcile_seconds_count"), "passes"),
                Query(_rate("axiom_reconcile_errors_total", by="kind"), "{{kind}}"),
                Query(_rate("axiom_usage_errors_total"), "usage not told by the egress proxy"),
            ),
            lines("How long a pass takes", "For one task.", "s", *_quantiles("axiom_reconcile_seconds")),
            lines(
                "Queue",
                "Tasks that something is to be done for while all workers are busy, and the first one's wait in seconds.",
                "short",
                Query("sum (axiom_reconcile_queue)", "tasks"),
                Query("max (axiom_reconcile_queue_oldest_seconds)", "seconds of the first"),
            ),
            lines(
                "Calls to the API server",
                "By operator and gateway. Conflict now and then is ordinary; Unavailable and Refused are not.",
                "reqps",
                Query(_rate("axiom_api_requests_total", by="outcome"), "{{outcome}}"),
                width=6,
            ),
            lines(
                "How long the API server takes",
                "9 of 10 calls are quicker.",
                "s",
                Query(_quantile(0.9, "axiom_api_request_seconds", by="verb"), "{{verb}}"),
                width=6,
            ),
            lines(
                "Writes for each task",
                "Writes to the API server for each task that ended within an hour before; about 9 is ordinary.",
                "short",
                Query(
                    _share(
                        f"sum (rate(axiom_api_writes_total[{_LATELY}]))",
                        f"sum (rate(axiom_tasks_completed_total[{_LATELY}]))",
                    ),
                    "writes",
                ),
                width=6,
            ),
            lines(
                "Watches",
                "Changes that watches bring, how often they begin anew, and objects that they missed.",
                "ops",
                Query(_rate("axiom_watch_events_total", by="resource"), "{{resource}}"),
                Query(_rate("axiom_watch_restarts_total"), "begun anew"),
                Query(_rate("axiom_watch_missed_total"), "missed"),
                width=6,
            ),
        ),
    )


def _evidence() -> Row:
    return Row(
        "Evidence and people: the gateway",
        (
            lines(
                "Records not sealed",
                "Durable in a sandbox and not in object storage yet; they would be lost with its node.",
                "short",
                Query("max (axiom_gateway_unsealed_records)", "records"),
                Query("max (axiom_gateway_unsealed_segments)", "segments that wait"),
            ),
            lines(
                "Put into storage",
                "Objects that were sealed.",
                "ops",
                Query(_rate("axiom_gateway_objects_sealed_total", by="kind"), "{{kind}}"),
            ),
            lines(
                "Operations of object storage",
                "By what came of them. Unavailable: the server is away. Conflict: somebody else wrote other content.",
                "ops",
                Query(
                    f"{_rate('axiom_storage_operations_total', by='operation, result')} > 0",
                    "{{operation}} {{result}}",
                ),
            ),
            lines(
                "How long object storage takes",
                "9 of 10 operations are quicker.",
                "s",
                Query(_quantile(0.9, "axiom_storage_operation_seconds", by="operation"), "{{operation}}"),
            ),
            lines(
                "Carrying",
                "Sandboxes that are carried for, event streams that are open, and interruptions by kind of error.",
                "short",
                Query("max (axiom_gateway_sandboxes)", "sandboxes"),
                Query("sum (axiom_gateway_streams)", "streams"),
                Query(_increase("axiom_gateway_errors_total", by="kind", window=_NOW), "{{kind}}"),
            ),
            lines(
                "What people ask for",
                "Requests for events, diffs and recordings, by the answer.",
                "reqps",
                Query(_rate("axiom_gateway_requests_total", by="page, code"), "{{page}} {{code}}"),
            ),
        ),
    )


def _processes() -> Row:
    def by_component(expression: str) -> Query:
        joined = (
            f"sum by (component) ({expression} * on (instance, job) group_left (component) axiom_build_info)"
        )
        return Query(joined, "{{component}}")

    return Row(
        "The programs",
        (
            lines(
                "Memory",
                "Resident. The container is ended at its limit.",
                "bytes",
                by_component("process_resident_memory_bytes"),
            ),
            lines(
                "CPU",
                "Cores. Each program uses at most one.",
                "short",
                by_component(f"rate(process_cpu_seconds_total[{_NOW}])"),
            ),
            lines(
                "Open files",
                "Connections to sandboxes and vendors are among them.",
                "short",
                by_component("process_open_fds"),
            ),
        ),
    )


def security() -> Dashboard:
    """For whoever answers for what agents may do."""
    return Dashboard(
        "axiom-security",
        "Axiom / Security",
        "Sandboxes that were not tight, what the egress proxy refused, and evidence that is missing.",
        (_tightness(), _refusals(), _integrity()),
    )


def _tightness() -> Row:
    def failed(reason: str) -> str:
        return _increase("axiom_sandboxes_failed_total", f'reason="{reason}"')

    return Row(
        "Sandboxes",
        (
            stat(
                "Probes that got out",
                "Sandboxes in which an attempt to get out succeeded. Their agent was not started.",
                "short",
                failed("IsolationFailed"),
                (0.5, Colour.BAD),
                base=Colour.GOOD,
            ),
            stat(
                "Launchers lost",
                "PID 1 of an untrusted container went away: killed for memory, or attacked.",
                "short",
                failed("LauncherLost"),
                (0.5, Colour.WARNING),
                base=Colour.GOOD,
            ),
            stat(
                "Too many processes",
                "Agents that started more processes than their class allows.",
                "short",
                failed("ProcessLimitExceeded"),
                (0.5, Colour.WARNING),
                base=Colour.GOOD,
            ),
            stat(
                "Tokens used elsewhere",
                "Requests with the token of another pod: a token got out of its sandbox.",
                "short",
                _increase("axiom_egress_denials_total", 'reason="axiom_wrong_address"'),
                (0.5, Colour.BAD),
                base=Colour.GOOD,
            ),
            stat(
                "Claims that were wrong",
                "The share of agents that claimed Success where the verdict is Fail, or that gave up on what passes.",
                "percentunit",
                _disagreements('agent_class!=""'),
                (0.2, Colour.WARNING),
                (0.5, Colour.BAD),
            ),
            stat(
                "Evidence lost",
                "Sandboxes that were gone before all of their evidence was in storage. Their ledgers end with a gap that says so.",
                "short",
                _increase("axiom_gateway_ledgers_lost_total"),
                (0.5, Colour.BAD),
                base=Colour.GOOD,
            ),
            lines(
                "Sandboxes that failed",
                "By what they say. StartFailed and WorkspaceFailed are mistakes in tasks and classes.",
                "short",
                Query(
                    _increase("axiom_sandboxes_failed_total", by="role, reason", window="5m"),
                    "{{role}} {{reason}}",
                ),
                width=8,
            ),
            lines(
                "Wrong claims by class",
                "Within an hour before. A class that rises alone has learnt to lie, or lost its tools.",
                "percentunit",
                Query(
                    f'sum by (agent_class) (increase(axiom_claims_total{{claim="Success", verdict="Fail"}}[{_LATELY}]))'
                    f' / (sum by (agent_class) (increase(axiom_claims_total{{claim!="None"}}[{_LATELY}])) > 0)',
                    "{{agent_class}}",
                ),
                width=8,
            ),
            lines(
                "Wrong statements by class and driver",
                "Within an hour before: what agents claimed, and the evidence says otherwise of.",
                "short",
                Query(
                    f"sum by (agent_class, driver) (increase(axiom_claim_disagreements_total[{_LATELY}])) > 0",
                    "{{agent_class}} ({{driver}})",
                ),
                width=8,
            ),
        ),
    )


def _refusals() -> Row:
    return Row(
        "The way out: the egress proxy",
        (
            lines(
                "Refused, and noticed",
                "Requests that the proxy answered itself (no_route: an agent tried what its class does not open), and plain"
                " answers that mean to talk a model into something, by rule.",
                "short",
                Query(_increase("axiom_egress_denials_total", by="reason", window="5m"), "{{reason}}"),
                Query(_increase("axiom_egress_signals_total", by="rule", window="5m"), "noticed: {{rule}}"),
            ),
            lines(
                "Requests by class",
                "That reached a route.",
                "reqps",
                Query(_rate("axiom_egress_requests_total", by="agent_class"), "{{agent_class}}"),
            ),
            lines(
                "Bytes that left",
                "Bodies of agents' requests. What goes to a vendor is not held back: look at who sends much more than before.",
                "Bps",
                Query(_rate("axiom_egress_bytes_total", 'direction="up"', "agent_class"), "{{agent_class}}"),
            ),
            lines(
                "What the proxy adds",
                "From a request's first line until the vendor is asked.",
                "s",
                *_quantiles("axiom_egress_admission_seconds"),
                width=12,
            ),
            lines(
                "Requests that are open",
                "Of all replicas.",
                "short",
                Query("sum (axiom_egress_open_requests)", "requests"),
                width=12,
            ),
        ),
    )


def _integrity() -> Row:
    return Row(
        "Evidence",
        (
            lines(
                "Gaps",
                "Something happened and was not recorded in full; the ledger says what. Long recordings have them.",
                "short",
                Query(_increase("axiom_ledger_gaps_total", by="role", window="5m"), "{{role}}"),
            ),
            lines(
                "Storage that disagrees",
                "Content that differs from what was written (Corrupt), or other content under a key (Conflict). Both should be 0.",
                "short",
                Query(
                    _increase("axiom_storage_operations_total", 'result=~"Conflict|Corrupt"', "result", "5m"),
                    "{{result}}",
                ),
            ),
            lines(
                "Refused by the API server",
                "Calls of operator and gateway that admission, quota or missing rights refused.",
                "short",
                Query(_increase("axiom_api_requests_total", 'outcome="Refused"', "verb", "5m"), "{{verb}}"),
            ),
        ),
    )


def dashboards() -> dict[str, Dashboard]:
    """All of them, by the name of their file."""
    return {
        "overview.json": overview(),
        "class.json": one_class(),
        "operator.json": operator_health(),
        "security.json": security(),
    }


def panels() -> tuple[Panel, ...]:
    """Every panel of every dashboard."""
    return tuple(panel for dashboard in dashboards().values() for panel in dashboard.panels)
