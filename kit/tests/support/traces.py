"""Spans in memory: all services record into one place, and tests read traces from it as trees."""

from collections.abc import Iterator

from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import Tracer

from sagakit.runtime import Runtime
from sagakit.telemetry.recorder import Recorder
from sagakit.telemetry.spans import Spans


class Traces:
    """The spans that the services of one suite have recorded."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()

    def tracer(self, service: str, sampler: Sampler = ALWAYS_ON) -> Tracer:
        named = Resource({SERVICE_NAME: service})
        provider = TracerProvider(ParentBased(sampler), named, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        return provider.get_tracer("tests")

    def runtime_of(self, service: str) -> Runtime:
        """For `running_suite(runtime_of=…)`."""
        return Runtime(observer=self.recorder(service))

    def recorder(self, service: str) -> Recorder:
        return Recorder(spans=Spans(self.tracer(service), "a broker"))

    @property
    def spans(self) -> list[ReadableSpan]:
        """Ended spans, in the order of their start."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time)

    def linked(self, span: ReadableSpan) -> ReadableSpan:
        """The target of the span's only link."""
        (link,) = span.links
        (found,) = (each for each in self.spans if each.context.span_id == link.context.span_id)
        return found

    def of(self, trace_id: str) -> list[ReadableSpan]:
        return [span for span in self.spans if trace_id_of(span) == trace_id]

    def one(self, trace_id: str, name: str, service: str) -> ReadableSpan:
        """The only span of that name in the trace that the service recorded."""
        (found,) = (each for each in self.of(trace_id) if (each.name, service_of(each)) == (name, service))
        return found

    def tree(self, trace_id: str) -> str:
        """`service: name` a line, those within a span indented under it, in the order of their names."""
        spans = self.of(trace_id)
        ids = {span.context.span_id for span in spans}
        roots = [span for span in spans if parent_id(span) not in ids]
        return "\n".join(line for root in roots for line in self._lines(root, spans, ""))

    def _lines(self, span: ReadableSpan, spans: list[ReadableSpan], indent: str) -> Iterator[str]:
        yield f"{indent}{service_of(span)}: {span.name}"
        children = [each for each in spans if parent_id(each) == span.context.span_id]
        for child in sorted(children, key=_by_name):
            yield from self._lines(child, spans, indent + "  ")


def _by_name(span: ReadableSpan) -> tuple[str, str]:
    return span.name, service_of(span)


def service_of(span: ReadableSpan) -> str:
    return str(span.resource.attributes[SERVICE_NAME])


def trace_id_of(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}"


def parent_id(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id
