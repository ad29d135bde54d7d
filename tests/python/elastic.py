"""The official Elasticsearch client writes documents and searches them: `python elastic.py http://127.0.0.1:4319/elastic`.

Prints what it found as JSON.
"""

import json
import sys

from elasticsearch import Elasticsearch, helpers

client = Elasticsearch(sys.argv[1], request_timeout=60)
info = client.info()

documents = [
    {
        "@timestamp": f"2023-11-14T22:13:{second:02d}.000Z",
        "message": f"request {second} took long" if second % 2 else f"request {second} was fine",
        "log.level": "error" if second % 10 == 0 else "info",
        "service.name": "web" if second % 3 else "db",
        "took_ms": second * 10,
        "user": {"id": f"u{second % 5}"},
    }
    for second in range(40)
]
written, _ = helpers.bulk(client, ({"_op_type": "create", "_index": "logs-test", "_source": d} for d in documents))


def search(**asked):
    return client.search(index="logs-test", **asked)


def seconds(found):
    return [int(hit["_source"]["@timestamp"][17:19]) for hit in found["hits"]["hits"]]


def count(query):
    return client.count(index="logs-test", query=query)["count"]


pages = []
after = None
while True:
    page = search(size=7, sort=[{"@timestamp": "desc"}, {"_doc": "desc"}], search_after=after)
    if not page["hits"]["hits"]:
        break
    pages.append(seconds(page))
    after = page["hits"]["hits"][-1]["sort"]

aggregated = search(
    size=0,
    query={"range": {"@timestamp": {"gte": "2023-11-14T22:13:00Z", "lt": "2023-11-14T22:13:40Z"}}},
    aggs={
        "over_time": {
            "date_histogram": {"field": "@timestamp", "fixed_interval": "10s"},
            "aggs": {"services": {"terms": {"field": "service.name"}, "aggs": {"took": {"avg": {"field": "took_ms"}}}}},
        },
        "percentiles": {"percentiles": {"field": "took_ms", "percents": [50, 95]}},
        "users": {"cardinality": {"field": "user.id"}},
        "kinds": {"filters": {"filters": {"bad": {"term": {"log.level": "error"}}, "all": {"match_all": {}}}}},
    },
)

many = client.msearch(
    searches=[
        {"index": "logs-test"},
        {"size": 1, "query": {"match_phrase": {"message": "request 3 took"}}},
        {"index": "logs-test"},
        {"size": 1, "query": {"nothing": {}}},
    ]
)

print(
    json.dumps(
        {
            "version": info["version"]["number"],
            "written": written,
            "total": search(size=0)["hits"]["total"],
            "oldest": seconds(search(size=3, sort=[{"@timestamp": "asc"}])),
            "newest": seconds(search(size=3, sort=[{"@timestamp": "desc"}])),
            "from": seconds(search(size=2, from_=5, sort=[{"@timestamp": "asc"}])),
            "pages": pages,
            "source": search(size=1, query={"term": {"user.id": "u3"}}, source=["user.id", "message"])["hits"]["hits"][0]["_source"],
            "counts": {
                "match": count({"match": {"message": "long"}}),
                "match_and": count({"match": {"message": {"query": "request 7", "operator": "and"}}}),
                "term": count({"term": {"service.name": "db"}}),
                "terms": count({"terms": {"user.id.keyword": ["u1", "u2"]}}),
                "range": count({"range": {"took_ms": {"gte": 100, "lt": 200}}}),
                "bool": count(
                    {
                        "bool": {
                            "must": [{"match": {"message": "took"}}],
                            "filter": [{"range": {"@timestamp": {"gte": "2023-11-14T22:13:20Z"}}}],
                            "must_not": [{"term": {"service.name": "db"}}],
                            "should": [{"term": {"user.id": "u1"}}, {"term": {"user.id": "u4"}}],
                            "minimum_should_match": 1,
                        }
                    }
                ),
                "query_string": count({"query_string": {"query": "message:long AND service.name:web AND took_ms:[100 TO 200}"}}),
                "query_string_or": count({"query_string": {"query": "user.id:u1 user.id:u2"}}),
                "wildcard": count({"wildcard": {"user.id": {"value": "u?"}}}),
                "prefix": count({"prefix": {"service.name": "we"}}),
                "exists": count({"exists": {"field": "took_ms"}}),
                "none": count({"exists": {"field": "nothing"}}),
                "other_index": client.count(index="logs-other")["count"],
                "pattern_of_indices": client.count(index="logs-t*")["count"],
            },
            "aggregations": aggregated["aggregations"],
            "many": [many["responses"][0]["hits"]["hits"][0]["_source"]["message"], many["responses"][1]["status"]],
            "fields": {
                name: list(kinds)[0]
                for name, kinds in client.field_caps(index="logs-test", fields="*")["fields"].items()
                if name in ("@timestamp", "took_ms", "user.id", "message")
            },
            "mapping": client.indices.get_mapping(index="logs-test")["logs-test"]["mappings"]["properties"]["took_ms"],
        }
    )
)
