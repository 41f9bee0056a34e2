# The service alone: no engine, no torch. Built from the repository's root:
#   docker build -f deploy/service.Dockerfile -t charter-service .
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/charter
COPY pyproject.toml README.md LICENSE charter.py ./
COPY constitutions constitutions
COPY judges judges
COPY service service
COPY training training
COPY deploy/constraints.txt deploy/constraints.txt
RUN /opt/charter/bin/pip install --no-cache-dir -c deploy/constraints.txt '.[traces]'

FROM python:3.11-slim
COPY --from=build /opt/charter /opt/charter
RUN useradd --system --uid 10001 --create-home charter && mkdir /data && chown charter /data
USER charter
ENV PATH=/opt/charter/bin:$PATH CHARTER_HOME=/data PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8000
# Lives, not ready: a service that waits for its engine is not to be killed for it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python", "-c", \
    "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["charter"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
