// From log-probabilities to text, as loopline/problems/handwriting/alphabet.py, decoding.py and ngrams.py have it.

const BLANK = 0; // class of the CTC blank; the alphabet's characters follow
const EDGE = "\n"; // stands before a line's start and after its end

/**
 * Return the function that reads one line from { values, frames, classes }: its log-probabilities, frame by frame.
 * Its answer is { text, confidence }; the confidence is that the whole line is right.
 */
export function decoder({ decoding, vocabulary, facts }, language) {
  if (decoding.name === "greedy") return (line) => bestPath(line, vocabulary);
  if (decoding.name === "beam") return beamSearch(decoding.values, vocabulary, facts, language);
  throw new Error(`This page knows no decoder ${decoding.name}; export it again with the release that made the model.`);
}

/** Read the best path: the likeliest class of each frame, runs as one, blanks left out. */
function bestPath({ values, frames, classes }, vocabulary) {
  const runs = [];
  let blanks = 0;
  for (let frame = 0; frame < frames; frame++) {
    const row = values.subarray(frame * classes, (frame + 1) * classes);
    const score = row.reduce((left, right) => Math.max(left, right));
    const best = row.indexOf(score);
    const run = runs.at(-1);
    if (run?.best === best) run.score = Math.max(run.score, score);
    else runs.push({ best, score });
    blanks += score;
  }
  const read = runs.filter(({ best }) => best !== BLANK);
  const sum = read.length ? read.reduce((total, { score }) => total + score, 0) : blanks / frames;
  return { text: read.map(({ best }) => vocabulary[best - 1]).join(""), confidence: Math.exp(sum) };
}

/** Search for the likeliest text, its characters weighted by how often they follow each other. */
function beamSearch({ width, weight, bonus }, vocabulary, { order, rivalry }, language) {
  const prob = nextProb(language, vocabulary.length + 1);
  const start = new Array(order - 1).fill(EDGE);
  const known = new Map();
  const factor = (characters, next) => {
    const context = characters.slice(1 - order);
    const key = context.join("") + next;
    if (!known.has(key)) known.set(key, Math.exp(weight * Math.log(prob(context, next)) + bonus));
    return known.get(key);
  };

  function extended(texts, frame) {
    const found = new Map();
    const least = rivalry * frame.best;
    for (const [key, { characters, afterBlank, afterCharacter }] of texts) {
      const total = afterBlank + afterCharacter;
      let staying = found.get(key)?.afterCharacter ?? 0;
      for (const [character, chance] of frame.characters) {
        const repeats = character === characters.at(-1);
        if (repeats) staying += afterCharacter * chance;
        const added = (repeats ? afterBlank : total) * chance;
        if (added <= least) continue;
        const longer = found.get(key + character) ?? {
          characters: [...characters, character],
          afterBlank: 0,
          afterCharacter: 0,
        };
        longer.afterCharacter += added * factor(characters, character);
        found.set(key + character, longer);
      }
      found.set(key, { characters, afterBlank: total * frame.blank, afterCharacter: staying });
    }
    return found;
  }

  return (line) => {
    let texts = new Map([[start.join(""), { characters: start, afterBlank: 1, afterCharacter: 0 }]]);
    for (const frame of doubtfulFrames(line, vocabulary, rivalry)) {
      texts = likeliest(extended(texts, frame), width, rivalry);
    }
    const ended = [...texts.values()].map(({ characters, afterBlank, afterCharacter }) => ({
      text: characters.slice(order - 1).join(""),
      weight: (afterBlank + afterCharacter) * factor(characters, EDGE),
    }));
    const best = ended.reduce((left, right) => (right.weight > left.weight ? right : left));
    return { text: best.text, confidence: best.weight / ended.reduce((sum, one) => sum + one.weight, 0) };
  };
}

/** Keep the `width` texts of most weight that are not hopeless beside the best, scaled so that the best weighs 1. */
function likeliest(found, width, rivalry) {
  const weigh = ([, text]) => text.afterBlank + text.afterCharacter;
  const best = Math.max(...[...found].map(weigh));
  const kept = [...found].filter((entry) => weigh(entry) > rivalry * best);
  if (kept.length > width) kept.sort((left, right) => weigh(right) - weigh(left)).length = width;
  return new Map(
    kept.map(([key, { characters, afterBlank, afterCharacter }]) => [
      key,
      { characters, afterBlank: afterBlank / best, afterCharacter: afterCharacter / best },
    ]),
  );
}

/** The frames with what counts in them; of several in a row that are blank beyond doubt only the first. */
function doubtfulFrames({ values, frames, classes }, vocabulary, rivalry) {
  const found = [];
  let doubtful = true;
  for (let at = 0; at < frames; at++) {
    const chances = values.subarray(at * classes, (at + 1) * classes).map(Math.exp);
    const best = chances.reduce((left, right) => Math.max(left, right));
    const characters = vocabulary
      .map((character, number) => [character, chances[number + 1]])
      .filter(([, chance]) => chance >= Math.fround(rivalry * best));
    if (characters.length || doubtful) found.push({ best, blank: chances[BLANK], characters });
    doubtful = characters.length > 0;
  }
  return found;
}

/** The function that knows how probable a character is after others: Witten-Bell interpolation over counted runs. */
function nextProb(counts, classCount) {
  const totals = new Map();
  const kinds = new Map();
  for (const [run, count] of Object.entries(counts)) {
    const context = [...run].slice(0, -1).join("");
    totals.set(context, (totals.get(context) ?? 0) + count);
    kinds.set(context, (kinds.get(context) ?? 0) + 1);
  }
  return function prob(context, next) {
    const shorter = context.length ? prob(context.slice(1), next) : 1 / classCount;
    const key = context.join("");
    if (!totals.has(key)) return shorter;
    const kindCount = kinds.get(key);
    return ((counts[key + next] ?? 0) + kindCount * shorter) / (totals.get(key) + kindCount);
  };
}
