#!/usr/bin/env python3
"""Writes the training, calibration and evaluation texts of the reference model.

The text is made by a seeded grammar: short stories, letters, ledgers, recipes, sums and descriptions about people,
places and things, some with invented names. Facts stated early in a document are used again later (who holds what, who
went where, what a sum comes to), so a model has to look back; word choice is free enough that its perplexity stays well above 1.

Every document is drawn from its own seed. Training, calibration and evaluation use disjoint seed ranges, and the evaluation
text also uses invented names that no other text can contain (another syllable table).

Usage: generate_text.py OUTPUT --kind training|calibration|evaluation --bytes N
Needs only the standard library.
"""
import argparse
import random

FIRST = ("Ada Ben Clara Daniel Edith Frank Greta Hugo Iris Jonas Karin Leo Mara Nils Olga Peter Ruth Simon Tessa Ulrich "
         "Vera Walter Yara Zeno Anna Boris Celia Dora Emil Flora Georg Hanna Ivan Julia Kasper Lena Marius Nora Oskar Paula").split()
PLACES = ("the harbour|the old mill|the market|the library|the chapel|the forest|the north gate|the orchard|the station|"
          "the bakery|the lighthouse|the river bank|the school|the quarry|the garden|the bridge|the tower|the island|"
          "the workshop|the meadow|the town hall|the vineyard|the cellar|the attic").split("|")
THINGS = ("lantern|copper kettle|wooden box|silver coin|map|rope|blue umbrella|letter|violin|clock|loaf of bread|basket|"
          "key|mirror|book|candle|woollen coat|hammer|telescope|bottle of ink|cup|bell|bicycle|drum|chair|painting|knife|"
          "jar of honey|pair of boots|sack of flour").split("|")
ADJECTIVES = ("small large heavy bright old new broken clean rusty quiet strange useful plain golden narrow warm cold dusty "
              "polished familiar forgotten expensive cheap round square delicate").split()
ANIMALS = "dog cat horse crow goat fox hen donkey heron owl hedgehog goose".split()
WEATHER = ("it rained without a pause|the wind came from the west|the sun was already high|fog lay over the roofs|"
           "snow had fallen in the night|the air smelled of smoke|a storm was on its way|the sky was clear and pale|"
           "the evening was mild|frost covered the windows").split("|")
TIMES = ("In the morning|At noon|Late in the evening|Before sunrise|On Monday|On Thursday|A week later|After the meal|"
         "When the bell rang|Not long after|The next day|At the end of the month|While the others slept").split("|")
FEELINGS = ("glad tired uneasy curious proud angry calm worried hopeful ashamed certain surprised lonely patient grateful").split()
TRADES = ("carpenter baker teacher sailor doctor gardener clerk blacksmith painter weaver miller ferryman cook tailor "
          "mason beekeeper printer").split()
VERBS = [("carried", "carry"), ("found", "find"), ("sold", "sell"), ("hid", "hide"), ("repaired", "repair"),
         ("borrowed", "borrow"), ("lost", "lose"), ("bought", "buy"), ("cleaned", "clean"), ("brought", "bring")]
REASONS = ("because nobody else would|although the road was long|since the door stood open|without saying a word|"
           "as quickly as possible|for the third time that year|to please an old friend|in spite of the noise|"
           "after a long silence|with both hands").split("|")
SAYINGS = ("a promise is a kind of debt|water finds its way|the shortest road is not always the safest|"
           "good tools last longer than good weather|what is lost in the evening is found in the morning|"
           "a full basket is heavy and an empty one is heavier|nobody counts the steps on the way home").split("|")
FOOD = "flour|butter|milk|honey|salt|apples|onions|rice|beans|eggs|pepper|cheese|pears|oats|plums|carrots|walnuts".split("|")
UNITS = "grams|spoons|cups|slices|handfuls".split("|")
COLOURS = "red green yellow white black grey brown blue violet orange".split()
NUMBERS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
           "seventeen eighteen nineteen twenty").split()
NOUNS = ("hand road house door water night stone voice fire wall window tree field boat bread night morning child friend "
         "mountain sea wind name song story winter summer horse bird ship table word letter eye shadow bridge roof town river "
         "light bell wheel step corner answer question market apple nail thread salt iron wool dust ash glass needle ladder "
         "barrel anchor plough candle feather pebble hinge kettle hook lantern mast oven pillow quill ribbon saddle thimble "
         "valley wagon yard acorn bucket chimney drawer ember fence gravel harvest inn jug kernel lock marble nest orchard "
         "pocket rudder shelf tunnel urn vessel willow").split()
TRANSITIVE = ("saw took held found left knew heard carried opened followed broke called kept moved built washed counted "
              "watched turned burned pulled painted measured buried mended weighed praised feared lifted traded").split()
INTRANSITIVE = ("stood waited slept fell walked sang turned laughed stopped shone returned vanished trembled grew rested "
                "drifted wandered whispered crumbled listened").split()
PREPOSITIONS = ("in on under near behind with without before after above beyond against along between from towards "
                "across beside through inside").split()
ADVERBS = ("slowly again quietly never often there suddenly once always perhaps gently almost together somewhere twice "
           "seldom gladly barely onward backwards").split()
SYLLABLES = {
    "training": ("ba do ka li mo ne ra su ti vo len mar tor vin dal ber gol hes pol rim".split(), "n r s l th m".split()),
    "evaluation": ("fi gu jo pe qua zu wen kir bol nat dre sha lom vek hul".split(), "x k d nd rk sh".split()),
}


class Writer:
    def __init__(self, seed, syllables):
        self.r = random.Random(seed)
        self.syllables, self.ends = SYLLABLES[syllables]

    def pick(self, items):
        return items[self.r.randrange(len(items))]

    def invented(self):
        word = "".join(self.pick(self.syllables) for _ in range(self.r.choice([1, 2, 2, 3]))) + self.pick(self.ends)
        return word.capitalize()

    def person(self):
        return self.invented() if self.r.random() < 0.15 else self.pick(FIRST)

    def people(self, count):
        names = []
        while len(names) < count:
            name = self.person()
            if name not in names:
                names.append(name)
        return names

    def thing(self):
        noun = self.pick(THINGS)
        return f"{self.pick(ADJECTIVES)} {noun}" if self.r.random() < 0.6 else noun

    @staticmethod
    def a(noun):
        return ("an " if noun[0] in "aeiou" and not noun.startswith("use") else "a ") + noun

    def zipf(self, items):
        """The first items are the common ones."""
        return items[int(len(items) * self.r.random() ** 2.2)]

    def noun_phrase(self, depth=0):
        r = self.r.random()
        if r < 0.12:
            return self.person()
        noun = self.zipf(NOUNS)
        words = [self.zipf(["the", "a", "his", "her", "every", "no", "this", "some", "another"])]
        if self.r.random() < 0.4:
            words.append(self.zipf(ADJECTIVES))
        words.append(noun)
        if words[0] == "a":
            words[0] = self.a(words[1]).split()[0]
        if depth < 2 and self.r.random() < 0.3:
            words += [self.zipf(PREPOSITIONS), self.noun_phrase(depth + 1)]
        elif depth < 1 and self.r.random() < 0.12:
            words += ["that", self.zipf(INTRANSITIVE), self.zipf(ADVERBS)]
        return " ".join(words)

    def clause(self):
        r = self.r.random()
        if r < 0.4:
            core = f"{self.noun_phrase()} {self.zipf(TRANSITIVE)} {self.noun_phrase()}"
        elif r < 0.65:
            core = f"{self.noun_phrase()} {self.zipf(INTRANSITIVE)} {self.zipf(PREPOSITIONS)} {self.noun_phrase()}"
        elif r < 0.8:
            core = f"{self.noun_phrase()} was {self.zipf(ADJECTIVES)} and {self.zipf(FEELINGS)}"
        else:
            core = f"{self.zipf(ADVERBS)} {self.noun_phrase()} {self.zipf(INTRANSITIVE)}"
        return core

    def scene(self):
        sentences = []
        for _ in range(self.r.randint(4, 12)):
            text = self.clause()
            while self.r.random() < 0.35:
                text += self.zipf([", and ", ", but ", "; ", ", while ", ", so ", ", until ", ", as if "]) + self.clause()
            sentences.append(text[0].upper() + text[1:] + self.zipf([".", ".", ".", "!", "?"]))
        return " ".join(sentences)

    def verse(self):
        lines = []
        for _ in range(self.r.randint(3, 6)):
            lines.append(f"{self.zipf(ADVERBS)} {self.invented().lower()} {self.zipf(NOUNS)} {self.zipf(PREPOSITIONS)} "
                         f"{self.zipf(ADJECTIVES)} {self.zipf(NOUNS)}")
        return "\n".join(lines)

    def story(self):
        hero, friend = self.people(2)
        trade, place, other = self.pick(TRADES), self.pick(PLACES), self.pick(PLACES)
        thing, animal = self.thing(), self.pick(ANIMALS)
        past, base = self.pick(VERBS)
        lines = [f"{hero} was {self.a(trade)} who lived near {place} with {self.a(self.pick(ADJECTIVES))} {animal}."]
        lines.append(f"{self.pick(TIMES)} {self.pick(WEATHER)}, and {hero} {past} {self.a(thing)} at {other}.")
        middle = [
            f"{friend} had seen it all and felt {self.pick(FEELINGS)}.",
            f"\"Why did you {base} the {thing}?\" asked {friend}.",
            f"\"{self.pick(SAYINGS).capitalize()},\" said {hero}, who seemed {self.pick(FEELINGS)}.",
            f"The {animal} waited outside {self.pick(REASONS)}.",
            f"{self.pick(TIMES)} the two of them walked from {other} to {place} {self.pick(REASONS)}.",
            f"On the way they met {self.person()}, {self.a(self.pick(TRADES))}, and talked about {self.pick(THINGS)}s and {self.pick(FOOD)}.",
            f"There were {self.pick(NUMBERS[2:])} {self.pick(ADJECTIVES)} {self.pick(THINGS).split()[-1]}s on the table, all of them {self.pick(COLOURS)}.",
            f"Nobody at {other} asked for the {thing} again.",
        ]
        self.r.shuffle(middle)
        lines += middle[: self.r.randint(3, 7)]
        owner = self.pick([hero, friend])
        lines.append(f"In the end {owner} kept the {thing}, and {hero if owner == friend else friend} was {self.pick(FEELINGS)}.")
        lines.append(f"So the {thing} of {hero} the {trade} stayed with {owner} near {place}.")
        return " ".join(lines)

    def letter(self):
        sender, receiver, third = self.people(3)
        thing, place = self.thing(), self.pick(PLACES)
        day = self.r.randint(1, 28)
        body = [f"Dear {receiver},", f"thank you for the {thing}. It arrived on day {day} of the month, and {self.pick(WEATHER)}."]
        body.append(f"{third} came by and was {self.pick(FEELINGS)} to hear of you.")
        for _ in range(self.r.randint(1, 4)):
            body.append(self.pick([
                f"I have {self.pick(VERBS)[0]} {self.a(self.thing())} {self.pick(REASONS)}.",
                f"My {self.pick(ANIMALS)} is {self.pick(FEELINGS)} these days and sleeps near the {self.pick(THINGS)}.",
                f"They say that {self.pick(SAYINGS)}, but I am not {self.pick(FEELINGS)}.",
                f"If you come to {place}, ask for {third}.",
            ]))
        body.append(f"Please do not lend the {thing} to {third}. Let us meet at {place} on day {min(28, day + 7)}.")
        return " ".join(body) + f"\nYours, {sender}"

    def ledger(self):
        owner, total, rows = self.person(), 0, []
        for _ in range(self.r.randint(3, 7)):
            count, price = self.r.randint(1, 12), self.r.randint(1, 20)
            total += count * price
            rows.append(f"- {count} x {self.pick(THINGS)} at {price} = {count * price}")
        return f"Ledger of {owner} at {self.pick(PLACES)}\n" + "\n".join(rows) + f"\nTotal for {owner}: {total}"

    def recipe(self):
        foods = self.r.sample(FOOD, 4)
        amounts = [self.r.randint(1, 9) * self.pick([1, 10, 50]) for _ in foods]
        lines = [f"{self.pick(ADJECTIVES).capitalize()} {foods[0]} in the manner of {self.person()}"]
        lines += [f"{amount} {self.pick(UNITS)} of {food}" for amount, food in zip(amounts, foods)]
        lines.append(f"Mix the {foods[0]} with the {foods[1]}, add all {amounts[2]} measures of {foods[2]}, and wait "
                     f"{self.r.randint(2, 90)} minutes. Serve with {foods[3]} while it is {self.pick(['warm', 'cold', 'fresh'])}.")
        return "\n".join(lines)

    def sums(self):
        lines = []
        for _ in range(self.r.randint(3, 8)):
            a, b = self.r.randint(0, 99), self.r.randint(0, 99)
            lines.append(self.pick([f"{a} + {b} = {a + b}", f"{max(a, b)} - {min(a, b)} = {max(a, b) - min(a, b)}",
                                    f"the larger of {a} and {b} is {max(a, b)}",
                                    f"{NUMBERS[a % 11]} and {NUMBERS[b % 10]} make {NUMBERS[a % 11 + b % 10]}"]))
        return "; ".join(lines) + "."

    def inventory(self):
        room, words = self.pick(PLACES), []
        things = self.r.sample(THINGS, self.r.randint(3, 6))
        colours = {t: self.pick(COLOURS) for t in things}
        for t in things:
            words.append(f"the {t} is {colours[t]}")
        asked = self.pick(things)
        keeper = self.person()
        return (f"What {keeper} keeps in {room}: " + ", ".join(words) +
                f". Question: which colour has the {asked}? Answer: {colours[asked]}.")

    def description(self):
        name, place = self.invented(), self.pick(PLACES)
        sentences = [f"{name} is {self.a(self.pick(ADJECTIVES))} town near {place}, known for its {self.pick(FOOD)} and its {self.pick(TRADES)}s."]
        for _ in range(self.r.randint(2, 5)):
            sentences.append(self.pick([
                f"About {self.r.randint(2, 99)}00 people live in {name}, and every {self.pick(['second', 'third', 'fourth', 'tenth'])} of them is {self.a(self.pick(TRADES))}.",
                f"Visitors come for the {self.pick(ADJECTIVES)} {self.pick(PLACES)[4:]}, which is {self.pick(COLOURS)} and {self.pick(ADJECTIVES)}.",
                f"In winter {self.pick(WEATHER)}; in summer the {self.pick(ANIMALS)}s of {name} are {self.pick(FEELINGS)}.",
                f"The first {self.pick(TRADES)} of {name} was {self.person()}, of whom it is said that {self.pick(SAYINGS)}.",
            ]))
        return " ".join(sentences)

    def document(self):
        kinds = [self.scene] * 8 + [self.verse] * 2 + [self.story] * 3 + [self.letter, self.description] + [self.ledger, self.recipe, self.sums, self.inventory]
        return self.pick(kinds)()


BASE = {"training": 0, "calibration": 2_000_000_000, "evaluation": 3_000_000_000}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("output")
    parser.add_argument("--kind", choices=BASE, required=True)
    parser.add_argument("--bytes", type=int, required=True)
    options = parser.parse_args()
    syllables = "evaluation" if options.kind == "evaluation" else "training"
    size, seed = 0, BASE[options.kind]
    with open(options.output, "w", encoding="utf-8") as out:
        while size < options.bytes:
            text = Writer(seed, syllables).document() + "\n\n"
            out.write(text)
            size += len(text.encode())
            seed += 1


if __name__ == "__main__":
    main()
