document.documentElement.classList.add("js");
try {
  const theme = localStorage.getItem("vmglean-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch (e) { /* storage is off for files in some browsers: the system's theme holds */ }
