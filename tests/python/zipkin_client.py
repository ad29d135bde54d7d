"""py_zipkin reports spans: `python zipkin_client.py http://127.0.0.1:4319`."""

import sys

import requests
from py_zipkin import Encoding
from py_zipkin.transport import SimpleHTTPTransport
from py_zipkin.zipkin import zipkin_span


class Transport(SimpleHTTPTransport):
    def send(self, payload):
        answer = requests.post(
            f"{sys.argv[1]}/api/v2/spans", data=payload, headers={"content-type": "application/json"}, timeout=60
        )
        assert answer.status_code == 202, answer.text


transport = Transport("127.0.0.1", 0)
with zipkin_span(
    service_name="py", span_name="outer", transport_handler=transport, sample_rate=100.0, encoding=Encoding.V2_JSON
) as outer:
    with zipkin_span(service_name="py", span_name="inner", binary_annotations={"key": "value"}):
        pass
    print(outer.zipkin_attrs.trace_id)
