// Saves by itself: soon after each change, and at the latest some time after the first one, so
// that a power cut costs less than a minute. What is written is whole (see works.py). A project
// that takes long to write on an old PC is written less often, within the same minute.
'use strict';
window.makeSaver = ({vm, ask, words, title, onSaved, most}) => {
  const QUIET = 4000, LATEST = 20000, RETRY = 10000;  // milliseconds
  const QUIET_SLOW = 15000, LATEST_SLOW = 40000, SHARE = 10;
  const line = document.getElementById('saved');
  let work = null;       // {id} once the server knows it
  let origin = null;     // how a work without id came about: {title, sha256}
  let changedAt = 0;     // when the first change since the last save was made; 0: none
  let timer = 0;
  let running = Promise.resolve(true);
  let cost = 0;          // how long the last save took
  const quiet = () => Math.min(QUIET_SLOW, Math.max(QUIET, SHARE * cost));
  // A contest may demand it more often than an old PC likes to: then that counts.
  const latest = () => Math.min(most || LATEST_SLOW, LATEST_SLOW, Math.max(LATEST, SHARE * cost));

  const say = (text, trouble) => {
    line.textContent = text;
    line.classList.toggle('trouble', Boolean(trouble));
  };

  const write = async (job, data) => {
    if (!job.work.id) {
      const made = await ask('POST', '/works', JSON.stringify(job.origin));
      Object.assign(job.work, made);
    }
    return ask('PUT', `/works/${job.work.id}`, data);
  };

  // The project is read out at once, so that what replaces it afterwards cannot mix in.
  const save = () => {
    if (!changedAt) return running;
    clearTimeout(timer);
    const began = changedAt;
    changedAt = 0;
    work = work || {};
    const job = {work, origin: origin || {title: title()}};
    const started = Date.now();
    const content = vm.saveProjectSb3();
    running = running.then(async () => {
      say(words.saving);
      try {
        const saved = await write(job, await content);
        job.work.title = saved.title;
        cost = Date.now() - started;
        say(`${words.saved} ${new Date().toTimeString().slice(0, 5)}`);
        if (job.work === work) onSaved(saved);
        return true;
      } catch (error) {
        say(words[error.kind] || words.trouble, true);
        console.warn(`not saved: ${error.message}`);
        if (job.work === work && !changedAt) {
          changedAt = began;
          timer = setTimeout(save, RETRY);
        }
        return false;
      }
    });
    return running;
  };

  const changed = () => {
    const now = Date.now();
    if (!changedAt) {
      changedAt = now;
      say(words.changed);
    }
    clearTimeout(timer);
    timer = setTimeout(save, Math.max(0, Math.min(quiet(), changedAt + latest() - now)));
  };

  return {
    save, changed,
    saveNow: () => { changedAt = changedAt || Date.now(); return save(); },
    // Another work takes the place of this one; its changes so far are on their way to the disk.
    begin: (newWork, cameFrom) => {
      save();
      clearTimeout(timer);
      changedAt = 0;
      work = newWork;
      origin = cameFrom;
      say('');
    },
    rename: async wanted => {
      if (!work || !work.id) { origin = {title: wanted}; return null; }
      await running;
      return ask('POST', '/rename', JSON.stringify({id: work.id, title: wanted}));
    },
    get dirty () { return changedAt !== 0; },
    get work () { return work; }
  };
};
