// Runs before Gradio, which asks the browser for its language once: the one chosen for this page goes before.
(() => {
  const codes = LANGUAGES; // put in by app/page/head_script.py
  let kept = null;
  try { kept = localStorage.getItem("tinylab-language"); } catch { /* a page without storage */ }
  const wanted = [new URL(window.location).searchParams.get("lang"), kept, navigator.language?.slice(0, 2)];
  const language = wanted.find((code) => codes.includes(code)) ?? codes[0];
  Object.defineProperty(navigator, "language", { get: () => language, configurable: true });
})();
