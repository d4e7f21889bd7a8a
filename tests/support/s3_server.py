"""An S3 server for tests: moto's, on a free port of 127.0.0.1."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from moto.server import ThreadedMotoServer
from obstore.store import S3Store

__all__ = ["S3Server", "s3_server"]


@dataclass(frozen=True, slots=True)
class S3Server:
    """An S3 server with one empty bucket.

    Attributes
    ----------
    endpoint
        ``http://127.0.0.1:PORT``.
    bucket
        Name of the bucket.
    environment
        Variables with which obstore, icechunk and others find the server.
    """

    endpoint: str
    bucket: str
    environment: Mapping[str, str]

    def store(self, prefix: str | None = None) -> S3Store:
        """An obstore S3Store of the bucket."""
        return S3Store(
            self.bucket,
            prefix=prefix,
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id="test",
            secret_access_key="test",
            client_options={"allow_http": True},
        )


@contextmanager
def s3_server(bucket: str = "bucket") -> Iterator[S3Server]:
    """Run moto's S3 server with one bucket."""
    # Its log of requests goes to a stream that pytest closes while the server still answers.
    logging.getLogger("werkzeug").disabled = True
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{bucket}", method="PUT")).close()
        environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
        yield S3Server(endpoint, bucket, environment)
    finally:
        server.stop()
