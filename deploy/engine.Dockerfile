# vLLM's own server with the flags that charter relies on; needs an NVIDIA GPU.
#   docker build -f deploy/engine.Dockerfile -t charter-engine deploy
FROM vllm/vllm-openai:v0.32.0
ENV HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=600s CMD ["python3", "-c", \
    "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=3)"]
# Prompts are padded to 32 tokens where principles part: blocks of 32 share all before that.
ENTRYPOINT ["python3", "-m", "vllm.entrypoints.openai.api_server", "--host", "0.0.0.0", \
    "--port", "8000", "--model", "/models/judge", "--served-model-name", "judge", \
    "--block-size", "32", "--max-logprobs", "50", "--enable-prompt-tokens-details", \
    "--disable-uvicorn-access-log"]
CMD ["--gpu-memory-utilization", "0.9"]
