// Runs once for each view: `element` holds view.html, `props.value` is what results.py keeps and
// shows, `server` calls the functions of views.py.
const find = (selector) => element.querySelector(selector);
const picture = find('.picture'), classes = find('.classes'), outline = find('svg');
const slider = find('.opacity input'), region = find('.region');

function swatch(colour) {
  const box = document.createElement('i');
  box.style.background = colour;
  return box;
}

function text(tag, content) {
  const one = document.createElement(tag);
  one.textContent = content;
  return one;
}

function hint(content) {
  const line = text('span', content);
  line.className = 'hint';
  region.replaceChildren(line);
}

function trace(path) {
  outline.querySelectorAll('path').forEach((one) => one.setAttribute('d', path));
}

function mix() {
  classes.style.opacity = slider.value / 100;
  find('.opacity output').textContent = `${slider.value} %`;
}

function render() {
  const value = props.value;
  const shown = Boolean(value && value.legend);
  find('.shown').hidden = !shown;
  find('.empty').hidden = shown;
  find('.empty').textContent = (value && value.empty) || 'Nothing to show yet.';
  find('.empty').classList.toggle('problem', Boolean(value && value.problem));
  if (!shown) return;
  find('.heading').replaceChildren(text('span', value.title), text('small', value.note));
  for (const part of ['.stage', '.opacity', '.region', '.downloads']) {
    find(part).hidden = !value.picture;
  }
  find('.body').classList.toggle('bare', !value.picture);
  find('.legend').replaceChildren(...value.legend.map((entry) => {
    const line = document.createElement('li');
    line.append(swatch(entry.colour), text('span', entry.name), text('small', entry.share));
    return line;
  }));
  if (!value.picture) return;
  picture.src = value.picture;
  classes.src = value.classes;
  // As large as it is, small ones enlarged, and never beyond the column or the screen.
  const { width, height } = value;
  const tallest = `calc(75vh * ${width / height})`;
  find('.stage').style.width = `min(100%, ${tallest}, ${Math.max(width, 480)}px)`;
  outline.setAttribute('viewBox', `0 0 ${width} ${height}`);
  trace('');
  mix();
  hint('Click the picture to see what a region is.');
}

async function ask(task, request) {
  const token = props.value?.token;
  try {
    const answer = await server[task]({ token, ...request });
    if (token !== props.value?.token) return null;
    if (answer.error) hint(answer.error);
    return answer.error ? null : answer;
  } catch (error) {
    hint(`The server does not answer: ${error.message || error}`);
    return null;
  }
}

async function identify(event) {
  const box = picture.getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
  const found = await ask('region_at', { x, y });
  if (!found) return;
  trace(found.outline);
  region.replaceChildren(swatch(found.colour), text('b', found.name), text('span', found.facts));
}

async function download(button) {
  button.disabled = true;
  const file = await ask('file_of', { kind: button.dataset.file });
  button.disabled = false;
  if (!file) return;
  if (file.note) hint(file.note);
  const bytes = Uint8Array.from(atob(file.base64), (one) => one.charCodeAt(0));
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([bytes], { type: file.type }));
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

slider.addEventListener('input', mix);
find('.stage').addEventListener('click', identify);
find('.downloads').addEventListener('click', (event) => {
  if (event.target.dataset.file) download(event.target);
});
watch('value', render);
render();
