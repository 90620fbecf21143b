# Small, without root, and content with a read-only file system: what is written goes to /data and /tmp.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /app
COPY requirements.lock pyproject.toml README.md ./
RUN python3 -m venv .venv && .venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY src src
COPY sql sql
COPY fixtures fixtures
RUN .venv/bin/pip install --no-cache-dir --no-build-isolation --no-deps -e . && .venv/bin/python -m compileall -q src \
    && .venv/bin/pip uninstall -q -y setuptools pip

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --no-create-home ecotrips && install -d -o ecotrips /data
WORKDIR /app
COPY --from=build /app /app
ENV PATH=/app/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 DATA_DIR=/data PORT=8000
USER ecotrips
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import http.client as h, os; c = h.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=2); c.request('GET', '/healthz'); exit(c.getresponse().status != 200)"]
ENTRYPOINT ["ecotrips"]
CMD ["serve", "--host", "0.0.0.0"]
