// The language of the page, and words in it. `text` looks up a text of app/texts, `word` translates English words.
Object.assign(window.tinylab, (() => {
  const all = window.tinylabTexts;
  const language = navigator.language in all ? navigator.language : "en"; // see head/language.js
  document.documentElement.lang = language;
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
