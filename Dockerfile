# A Hugging Face Docker Space on CPU hardware; docs/space.md says what to set. Anywhere else:
#   docker build -t tinylab . && docker run -p 7860:7860 -v tinylab:/home/user/runs tinylab
# `.ci/dockerfile` does without Docker what stands here, and knows these instructions and commands alone.
FROM python:3.11-slim

# tini reaps the jobs that the app starts as processes of their own.
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 user \
    && install -d -o user -g user /home/user/app /home/user/runs

USER user
ENV HOME=/home/user \
    PATH=/home/user/.local/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    GRADIO_ANALYTICS_ENABLED=False \
    TINYLAB_RUNS=/home/user/runs
WORKDIR /home/user/app

# The requirements change seldom: a layer of their own keeps rebuilding short. The extra index has torch for CPUs.
COPY --chown=user requirements.txt .
RUN pip install --no-cache-dir --user -r requirements.txt --extra-index-url https://download.pytorch.org/whl/cpu

COPY --chown=user . .
RUN pip install --no-cache-dir --user --no-deps -e .

EXPOSE 7860
# Spaces look at the port; Docker asks here. The slim image has no curl.
HEALTHCHECK --interval=30s --start-period=60s --timeout=10s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['GRADIO_SERVER_PORT'], timeout=8)"]
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "app"]
