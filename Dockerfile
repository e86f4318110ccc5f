# Pin the digest where builds must repeat: FROM python:3.13.9-slim-bookworm@sha256:…
FROM python:3.13.9-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    PORT=8008 \
    VAR_DIR=/var/lib/llmgateway

WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt && python -m compileall -q /usr/local/lib/python3.13/site-packages

# The code belongs to root and is read only; the gateway's account owns its data folder alone.
RUN useradd --system --uid 10001 --shell /bin/false gateway && install -d -o gateway -g gateway -m 0700 "$VAR_DIR"
COPY . .
USER gateway
VOLUME /var/lib/llmgateway
EXPOSE 8008

HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/ping\", timeout=4)"]
STOPSIGNAL SIGTERM
CMD ["python", "manage.py", "serve"]
