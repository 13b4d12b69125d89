"""Log lines in Cloud Logging's format, with their trace, and errors for Error Reporting."""

import json
from collections.abc import Callable, MutableMapping
from typing import Any

from opentelemetry import trace

Line = MutableMapping[str, Any]

TRACE = "logging.googleapis.com/trace"
SPAN = "logging.googleapis.com/spanId"
SAMPLED = "logging.googleapis.com/trace_sampled"
REPORTED_ERROR = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"


def to_entry(service: str, project: str) -> Callable[[object, str, Line], Line]:
    """Return the processor before the renderer: special fields first, then the other fields.

    https://cloud.google.com/logging/docs/structured-logging and, for lines with a traceback,
    https://cloud.google.com/error-reporting/docs/formatting-error-messages
    """

    def processor(_logger: object, _name: str, line: Line) -> Line:
        entry: Line = {
            "severity": line.pop("level").upper(),
            "time": line.pop("time"),
            "message": line.pop("event"),
            "serviceContext": {"service": service},
            **_trace_fields(project),
        }
        if stack := line.pop("exception", None):
            entry["@type"], entry["stack_trace"] = REPORTED_ERROR, stack
        return {**entry, **{name: value for name, value in line.items() if name not in entry}}

    return processor


def add_trace(_logger: object, _name: str, line: Line) -> Line:
    """Add the trace id to a console line, if the trace is recorded."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid and span.trace_flags.sampled:
        line["trace"] = trace.format_trace_id(span.trace_id)
    return line


# One encoder: `json.dumps` would create one for every line.
_STRICT = json.JSONEncoder(allow_nan=False, default=repr)


def to_json(_logger: object, _name: str, line: Line) -> str:
    """Render a line as JSON, with strings for NaN and Infinity, which are not JSON."""
    try:
        return _STRICT.encode(line)
    except ValueError:
        return json.dumps(json.loads(json.dumps(line, default=repr), parse_constant=str))


def _trace_fields(project: str) -> Line:
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return {}
    traceid = trace.format_trace_id(span.trace_id)
    return {
        TRACE: f"projects/{project}/traces/{traceid}" if project else traceid,
        SPAN: trace.format_span_id(span.span_id),
        SAMPLED: span.trace_flags.sampled,
    }
