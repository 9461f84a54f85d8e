#!/usr/bin/env bash
# boto3 1.44.8 (Python 3.11): where something that is no object store answers 200 with a page, such as a proxy before
# the store that is down, listing a bucket gives an empty list and putting an object succeeds. Neither raises. One
# would expect an error about what cannot be parsed. What was listed in order to be deleted would be taken for gone.
#
# Seen: a listing without `IsTruncated` and without a name, though S3's has `IsTruncated` always; a put without an
# `ETag`. Where either is missing, it was no answer of a store's.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "boto3==1.44.8" "botocore==1.44.8"
cat > "$folder/page.py" <<'PYTHON'
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3

PAGE = b"<html><body>Back in a minute.</body></html>"


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    do_PUT = do_GET

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = boto3.client(
    "s3",
    endpoint_url=f"http://127.0.0.1:{server.server_port}",
    region_name="us-east-1",
    aws_access_key_id="a",
    aws_secret_access_key="b",
    config=boto3.session.Config(request_checksum_calculation="when_required"),
)
listed = client.list_objects_v2(Bucket="pictures")
put = client.put_object(Bucket="pictures", Key="a.png", Body=b"png")
for name, answer in (("list", listed), ("put", put)):
    print(name, sorted(key for key in answer if key != "ResponseMetadata"))
assert "IsTruncated" not in listed and "Contents" not in listed and "ETag" not in put
PYTHON
"$folder/venv/bin/python" "$folder/page.py"
