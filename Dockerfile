# The gateway: `manage.py serve` whole, or its parts `serve web` and `serve worker` (docker-compose.yml).
# Where builds must repeat, pin the digest too: `docker buildx imagetools inspect python:3.13.9-slim-bookworm` shows it for …@sha256:…
FROM python:3.13.9-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
ENV HOST=0.0.0.0 PORT=8008 VAR_DIR=/var/lib/llmgateway STATIC_ROOT=/srv/static

# The gateway's account owns its data and nothing else. By number, so that Kubernetes sees that it is not root.
RUN groupadd --gid 10001 gateway && useradd --uid 10001 --gid gateway --no-create-home --shell /usr/sbin/nologin gateway \
    && install -d -o gateway -g gateway -m 0700 "$VAR_DIR"

WORKDIR /app
COPY requirements.txt ./
RUN pip install --require-hashes -r requirements.txt
COPY . ./
# The key of this one step signs nothing, and nothing keeps it.
RUN python -m compileall -q . && SECRET_KEY=none python manage.py collectstatic --no-input --verbosity 0

USER 10001:10001
VOLUME /var/lib/llmgateway
EXPOSE 8008
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=4)"]
CMD ["python", "manage.py", "serve"]
