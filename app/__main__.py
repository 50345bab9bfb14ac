"""Start the lab: `python -m app`. Address and port come from GRADIO_SERVER_NAME and GRADIO_SERVER_PORT."""

import os

# Nothing leaves the machine: no telemetry, no look-ups at a hub. Read by the libraries when they are imported.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def main() -> None:
    """Build and serve the page until interrupted."""
    from starlette.middleware import Middleware

    from app.access.downloads import ROUTES
    from app.access.settings import lab_settings
    from app.access.uploads import UploadGate, fetch_nothing, largest_upload
    from app.access.visitors import VisitorCookie
    from app.access.watchdog import watch
    from app.page.head_script import HeadScript
    from app.texts import TEXTS
    from app.ui import CSS, HEAD, THEME, build_page
    from tinylab.launch.launch import tend_always, warm_up
    from tinylab.runs.trash import WEEK, empty_trash

    fetch_nothing()
    empty_trash(older_than=WEEK)
    warm_up()
    tend_always()
    watch()
    build_page().launch(
        theme=THEME,
        css=CSS,
        head=HEAD,
        i18n=TEXTS,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        max_file_size=largest_upload(),
        auth=list(lab_settings().login) or None,
        app_kwargs={
            "routes": ROUTES,
            "middleware": [Middleware(VisitorCookie), Middleware(HeadScript), Middleware(UploadGate)],
        },
    )


if __name__ == "__main__":
    main()
