// Puts the editor on the page, keeps the pupil's work on the disk, and keeps the title, the file
// and the window's name the same.
'use strict';
(async () => {
  const WORDS = {
    'zh-cn': {
      name: '积木编程', untitled: '我的作品', saving: '正在保存…', saved: '已保存',
      changed: '有改动，马上自动保存', full: '磁盘满了，没有保存！请告诉老师',
      denied: '不能写入文件夹，没有保存！请告诉老师', trouble: '没有保存！马上再试',
      damaged: '这个文件打不开：它不是作品，或者已经损坏。', ok: '知道了', about: '关于',
      where: '作品保存在', stage: '舞台', sprite: '纸飞机', left: '还剩'
    },
    en: {
      name: 'Block Coding', untitled: 'My project', saving: 'Saving…', saved: 'Saved',
      changed: 'Changed; will be saved by itself', full: 'The disk is full: not saved! Tell your teacher',
      denied: 'The folder cannot be written: not saved! Tell your teacher',
      trouble: 'Not saved! Trying again',
      damaged: 'This file cannot be opened: it is no project, or it is damaged.', ok: 'OK',
      about: 'About', where: 'Projects are saved in', stage: 'Stage', sprite: 'Paper plane',
      left: 'left'
    }
  };
  const key = location.hash.slice(1) || sessionStorage.getItem('key') || '';
  sessionStorage.setItem('key', key);
  const query = new URLSearchParams(location.search);

  const ask = async (method, path, body) => {
    const answer = await fetch(path, {method, body, headers: {'X-Blocks-Key': key}});
    const said = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(said.message), {kind: said.kind});
    return said;
  };
  const notice = (...parts) => {
    const box = document.getElementById('notice');
    const inner = document.createElement('div');
    const close = document.createElement('button');
    close.textContent = words.ok;
    close.onclick = () => { box.hidden = true; };
    inner.append(...parts, close);
    box.replaceChildren(inner);
    box.hidden = false;
    close.focus();
  };
  const paragraph = text => Object.assign(document.createElement('p'), {textContent: text});

  let session;
  try {
    session = await ask('GET', `/session.json?work=${query.get('work') || ''}`);
  } catch {
    session = await ask('GET', '/session.json');  // the work is not open any more
  }
  const words = WORDS[session.language] || WORDS.en;
  document.documentElement.lang = session.language === 'en' ? 'en' : 'zh-CN';

  const G = window.GUI;
  const app = document.getElementById('app');
  G.setAppElement(app);
  const state = new G.EditorState({locale: session.language});
  const store = state.store;
  const gui = () => store.getState().scratchGui;
  const locales = store.getState().locales.messagesByLocale;
  Object.assign(locales['zh-cn'], window.missingChinese);
  locales.en = {...locales.en, 'gui.gui.defaultProjectTitle': WORDS.en.untitled};
  const setTitle = title => store.dispatch({type: 'projectTitle/SET_PROJECT_TITLE', title});
  const setUnchanged = () => store.dispatch(
    {type: 'scratch-gui/project-changed/SET_PROJECT_CHANGED', changed: false});

  // The editor's own start project shows a trademark; ours stands in its place, wherever the
  // editor keeps it (it does so anew when the language changes).
  const start = await (await fetch('/page/start.json')).text();
  const startProject = new TextEncoder().encode(start
    .replaceAll('%SPRITE%', words.sprite).replaceAll('%STAGE%', words.stage));
  const useOurStart = storage => {
    const helper = storage.builtinHelper;
    const keep = helper._store.bind(helper);
    const ours = () => keep(storage.AssetType.Project, storage.DataFormat.JSON, startProject, '0');
    helper._store = (type, format, data, id) =>
      (type === storage.AssetType.Project ? ours() : keep(type, format, data, id));
    ours();
  };

  let saver = null;
  let vm = null;
  let chosen = null;  // the file that the pupil chose: {sha256}
  const hex = buffer => [...new Uint8Array(buffer)].map(b => b.toString(16).padStart(2, '0')).join('');

  const watch = theVm => {
    vm = theVm;
    window.vm = vm;
    useOurStart(vm.runtime.storage);
    const load = vm.loadProject.bind(vm);
    vm.loadProject = async input => {
      chosen = null;
      if (input instanceof ArrayBuffer) {
        chosen = {sha256: hex(await crypto.subtle.digest('SHA-256', input))};
      }
      return load(input);
    };
    saver = window.makeSaver({
      vm, ask, words, title: () => gui().projectTitle || words.untitled,
      most: session.contest ? session.contest.autosave_s * 1000 : 0,
      onSaved: saved => {
        setUnchanged();
        knownTitle = saved.title;
        if (gui().projectTitle !== saved.title) setTitle(saved.title);
        name();
      }
    });
    window.saver = saver;
  };

  // Which work is shown follows from how the editor came to show it.
  let knownTitle = session.work ? session.work.title : words.untitled;
  let loading = '';
  let cameFrom = 'start';
  const name = () => { document.title = `${gui().projectTitle || words.untitled} – ${words.name}`; };
  const shown = () => {
    if (cameFrom === 'file') {
      // The editor sets the title by the file's name a moment later.
      setTimeout(() => {
        knownTitle = gui().projectTitle;
        saver.begin(null, {title: knownTitle, ...chosen});
        name();
      }, 50);
    } else {
      const first = cameFrom === 'start' ? session.work : null;
      knownTitle = first ? first.title : words.untitled;
      saver.begin(first ? {id: first.id, title: first.title} : null, {title: knownTitle});
      // The editor gives a new project its own default title in the same step.
      const title = knownTitle;
      setTimeout(() => { setTitle(title); name(); });
    }
    setTimeout(() => { cameFrom = ''; }, 60);
    setTimeout(() => {
      vm.removeListener('PROJECT_CHANGED', saver.changed);
      vm.on('PROJECT_CHANGED', saver.changed);
      document.body.dataset.ready = String(Number(document.body.dataset.ready || 0) + 1);
    }, 300);
  };
  store.subscribe(() => {
    if (!saver) return;
    const now = gui().projectState.loadingState;
    if (now !== loading) {
      const before = loading;
      loading = now;
      if (now === 'FETCHING_NEW_DEFAULT' && before.startsWith('SHOWING')) cameFrom = 'new';
      if (now === 'LOADING_VM_FILE_UPLOAD') cameFrom = 'file';
      if (before.startsWith('SHOWING')) {
        vm.removeListener('PROJECT_CHANGED', saver.changed);
        saver.save();
      }
      if (now.startsWith('SHOWING') && cameFrom) shown();
    } else if (now.startsWith('SHOWING') && gui().projectTitle !== knownTitle && !cameFrom) {
      knownTitle = gui().projectTitle;
      const wanted = knownTitle;
      saver.rename(wanted).then(made => {
        if (made && made.title !== wanted && gui().projectTitle === wanted) {
          knownTitle = made.title;
          setTitle(made.title);
        }
        name();
      });
    }
  });

  // “Save to your computer” and Ctrl+S write the work where it belongs.
  navigator.msSaveOrOpenBlob = (blob, filename) => {
    if (/\.sb3$/i.test(filename)) {
      saver.saveNow();
      return;
    }
    const link = document.createElement('a');
    link.href = URL.createObjectURL(blob);
    link.download = filename;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  window.addEventListener('keydown', event => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 's') {
      event.preventDefault();
      event.stopImmediatePropagation();
      saver.saveNow();
    }
  }, true);
  window.addEventListener('beforeunload', event => {
    if (saver && saver.dirty) {
      saver.save();
      event.preventDefault();
    }
  });
  window.addEventListener('pagehide', () => {
    fetch('/closed', {method: 'POST', body: '{}', keepalive: true, headers: {'X-Blocks-Key': key}});
  });

  const about = async () => {
    const list = document.createElement('ul');
    for (const row of await (await fetch('/notices/components.json')).json()) {
      const item = document.createElement('li');
      item.textContent = `${row.name} ${row.version} · ${row.licence} · ${row.source}`;
      list.append(item);
    }
    notice(paragraph(words.name), paragraph(`${words.where} ${session.folder}`), list);
  };

  if (session.contest) {
    const box = document.getElementById('contest');
    const closes = new Date(session.contest.closes);
    const two = n => String(n).padStart(2, '0');
    const tick = () => {
      const now = new Date();
      const left = Math.max(0, Math.floor((closes - now) / 1000));
      const rest = `${Math.floor(left / 3600)}:${two(Math.floor(left / 60) % 60)}:${two(left % 60)}`;
      box.textContent = `${session.contest.title[session.language] || ''} · `
        + `${two(now.getHours())}:${two(now.getMinutes())} · ${words.left} ${rest}`;
      box.classList.toggle('last', left < 600);
    };
    box.hidden = false;
    setInterval(tick, 1000);
    tick();
  }

  const work = session.work;
  G.createStandaloneRoot(state, app).render({
    platform: 'DESKTOP', canSave: false, canEditTitle: true, showComingSoon: false,
    projectId: work && work.saved ? work.id : '0',
    projectTitle: knownTitle,
    assetHost: location.origin, projectHost: `${location.origin}/projects`,
    onClickAbout: [{title: words.about, onClick: about}],
    onVmInit: watch
  });
  if (query.get('problem') === 'damaged') notice(paragraph(words.damaged));
})();
