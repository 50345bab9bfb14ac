// The language of the page, and words in it. `text` looks up a text of app/texts, `word` translates English words.
Object.assign(window.tinylab, (() => {
  const all = window.tinylabTexts, asked = new URL(window.location).searchParams.get("lang");
  let kept = null;
  try { kept = localStorage.getItem("tinylab-language"); } catch { /* a page without storage */ }
  const language = [asked, kept, navigator.language?.slice(0, 2)].find((code) => code in all) ?? "en";
  // Gradio goes by the browser's language; what was chosen for this page goes before.
  Object.defineProperty(navigator, "language", { get: () => language, configurable: true });
  return {
    language,
    text: (key) => all[language].texts[key] ?? all.en.texts[key] ?? key,
    word: (english) => all[language].words[english] ?? english,
    speak(code) {
      try { localStorage.setItem("tinylab-language", code); } catch { /* then the address alone says it */ }
      const url = new URL(window.location);
      url.searchParams.set("lang", code);
      window.location.assign(url);
    },
  };
})());
