/// A compiled pattern: a backtracking matcher over UTF-8, exact about order of alternatives and greed as Oniguruma is.
///
/// Repetitions of single characters, which are nearly all there are, take one stack entry however long they are, so a
/// megabyte of spaces needs no more memory than one.
struct Pattern: Sendable {
  private enum Instruction: Sendable {
    case set(Int)
    case span(set: Int, minimum: Int, maximum: Int, isPossessive: Bool)
    case lazySpan(set: Int, minimum: Int, maximum: Int)
    case split(first: Int, second: Int)
    case jump(Int)
    /// The body follows and ends with `accept`; matching goes on at `end`.
    case look(isNegative: Bool, end: Int)
    case behind(set: Int, isNegative: Bool)
    case atomic(end: Int)
    case anchor(PatternNode.Anchor)
    case accept
  }

  /// Where to go on when a way fails: at `place`, and for spans at each earlier character down to `lowest`.
  private struct Choice {
    var instruction: Int
    var place: Int
    var lowest: Int
  }

  /// The text that it was made from.
  let source: String
  private var program: [Instruction] = []
  private var sets: [ScalarSet] = []
  private var compiled = 0
  private static let instructionLimit = 100_000

  /// Compiles `source`.
  init(_ source: String) throws(PatternParser.Failure) {
    self.source = source
    try compile(try PatternParser.parse(source))
    program.append(.accept)
  }

  // MARK: Compiling

  private mutating func compile(_ node: PatternNode) throws(PatternParser.Failure) {
    // Nodes are counted as well: a repeated group can be empty and leave no instruction.
    compiled += 1
    guard max(program.count, compiled) < Pattern.instructionLimit else {
      throw PatternParser.Failure(message: "the pattern is too large", offset: 0)
    }
    switch node {
    case .set(let set): program.append(.set(index(of: set)))
    case .sequence(let nodes): for node in nodes { try compile(node) }
    case .alternation(let nodes): try compile(branches: nodes)
    case .repetition(let node, let minimum, let maximum, let greed):
      try compile(node, minimum: minimum, maximum: maximum, greed)
    case .look(.set(let set), let isNegative, true):
      program.append(.behind(set: index(of: set), isNegative: isNegative))
    case .look(let node, let isNegative, _):
      let start = program.count
      program.append(.accept)
      try compile(node)
      program.append(.accept)
      program[start] = .look(isNegative: isNegative, end: program.count)
    case .anchor(let anchor): program.append(.anchor(anchor))
    }
  }

  private mutating func compile(branches: [PatternNode]) throws(PatternParser.Failure) {
    var jumps: [Int] = []
    for (place, node) in branches.enumerated() {
      guard place < branches.count - 1 else {
        try compile(node)
        break
      }
      let split = program.count
      program.append(.accept)
      try compile(node)
      jumps.append(program.count)
      program.append(.accept)
      program[split] = .split(first: split + 1, second: program.count)
    }
    for jump in jumps { program[jump] = .jump(program.count) }
  }

  private mutating func compile(
    _ node: PatternNode, minimum: Int, maximum: Int?, _ greed: PatternNode.Greed
  ) throws(PatternParser.Failure) {
    if case .set(let set) = node {
      let index = index(of: set)
      let limit = maximum ?? Int.max
      program.append(
        greed == .lazy
          ? .lazySpan(set: index, minimum: minimum, maximum: limit)
          : .span(set: index, minimum: minimum, maximum: limit, isPossessive: greed == .possessive))
      return
    }
    let atomic = program.count
    if greed == .possessive { program.append(.accept) }
    for _ in 0..<minimum { try compile(node) }
    if let maximum {
      var splits: [Int] = []
      for _ in 0..<max(maximum - minimum, 0) {
        splits.append(program.count)
        program.append(.accept)
        try compile(node)
      }
      for split in splits { program[split] = branch(split + 1, program.count, greed) }
    } else {
      let loop = program.count
      program.append(.accept)
      try compile(node)
      program.append(.jump(loop))
      program[loop] = branch(loop + 1, program.count, greed)
    }
    if greed == .possessive {
      program.append(.accept)
      program[atomic] = .atomic(end: program.count)
    }
  }

  private func branch(_ into: Int, _ past: Int, _ greed: PatternNode.Greed) -> Instruction {
    greed == .lazy ? .split(first: past, second: into) : .split(first: into, second: past)
  }

  private mutating func index(of set: ScalarSet) -> Int {
    if let known = sets.firstIndex(of: set) { return known }
    sets.append(set)
    return sets.count - 1
  }
}

// MARK: Matching

extension Pattern {
  /// How much trying a text may cost: real patterns take about ten steps a byte, crafted ones can take 2 to the length.
  private static let stepsPerByte = 1000
  private static let leastSteps = 10_000_000

  /// The matches in `text[range]` from left to right; none is empty. Nothing outside of `range` is seen.
  ///
  /// A pattern that backtracks without end finds nothing more once its steps (see `stepsPerByte`) are used up, so the time
  /// is bounded by the length of the text.
  func matches(in text: UnsafeRawBufferPointer, _ range: Range<Int>, body: (Range<Int>) -> Void) {
    let part = UnsafeRawBufferPointer(rebasing: text[range])
    var steps = Pattern.leastSteps + part.count * Pattern.stepsPerByte
    var place = 0
    while place < part.count, steps > 0 {
      if let end = end(of: part, at: place, instruction: 0, &steps), end > place {
        body(range.lowerBound + place..<range.lowerBound + end)
        place = end
      } else {
        place += UTF8Text.scalar(part, place).length
      }
    }
  }

  /// Where the match at `start` ends, or nil.
  private func end(
    of text: UnsafeRawBufferPointer, at start: Int, instruction: Int, _ steps: inout Int
  ) -> Int? {
    var choices: [Choice] = []
    var place = start
    var counter = instruction
    while true {
      steps -= 1
      guard steps > 0 else { return nil }
      var isAlive = true
      switch program[counter] {
      case .accept: return place
      case .set(let set):
        isAlive = advance(text, &place, sets[set])
        counter += 1
      case .span(let set, let minimum, let maximum, let isPossessive):
        let from = place
        isAlive = span(text, &place, sets[set], minimum, maximum, isPossessive, counter + 1, &choices)
        steps -= (place - from) / 4
        counter += 1
      case .lazySpan(let set, let minimum, let maximum):
        // Rare: taken as the shortest stretch, with the longer ones as one choice each.
        let before = choices.count
        isAlive = lazySpan(text, &place, sets[set], minimum, maximum, counter + 1, &choices)
        steps -= choices.count - before
        counter += 1
      case .split(let first, let second):
        choices.append(Choice(instruction: second, place: place, lowest: place))
        counter = first
      case .jump(let target): counter = target
      case .look(let isNegative, let target):
        let isFound = end(of: text, at: place, instruction: counter + 1, &steps) != nil
        isAlive = isFound != isNegative
        counter = target
      case .behind(let set, let isNegative):
        var before = place
        let isFound = stepBack(text, &before) && sets[set].contains(UTF8Text.scalar(text, before).scalar)
        isAlive = isFound != isNegative
        counter += 1
      case .atomic(let target):
        let inner = end(of: text, at: place, instruction: counter + 1, &steps)
        isAlive = inner != nil
        place = inner ?? place
        counter = target
      case .anchor(let anchor):
        isAlive = holds(anchor, text, place)
        counter += 1
      }
      if !isAlive {
        guard let next = resume(text, &choices) else { return nil }
        (counter, place) = next
      }
    }
  }

  @inline(__always)
  private func advance(_ text: UnsafeRawBufferPointer, _ place: inout Int, _ set: ScalarSet) -> Bool {
    guard place < text.count else { return false }
    let (scalar, length) = UTF8Text.scalar(text, place)
    guard set.contains(scalar) else { return false }
    place += length
    return true
  }

  private func span(
    _ text: UnsafeRawBufferPointer, _ place: inout Int, _ set: ScalarSet, _ minimum: Int, _ maximum: Int,
    _ isPossessive: Bool, _ next: Int, _ choices: inout [Choice]
  ) -> Bool {
    var count = 0
    var lowest = place
    while count < maximum, advance(text, &place, set) {
      count += 1
      if count == minimum { lowest = place }
    }
    guard count >= minimum else { return false }
    if !isPossessive, place > lowest {
      choices.append(Choice(instruction: next, place: place, lowest: lowest))
    }
    return true
  }

  private func lazySpan(
    _ text: UnsafeRawBufferPointer, _ place: inout Int, _ set: ScalarSet, _ minimum: Int, _ maximum: Int,
    _ next: Int,
    _ choices: inout [Choice]
  ) -> Bool {
    var count = 0
    while count < minimum, advance(text, &place, set) { count += 1 }
    guard count == minimum else { return false }
    var ends: [Int] = []
    var longer = place
    while count < maximum, advance(text, &longer, set) {
      ends.append(longer)
      count += 1
    }
    for end in ends.reversed() { choices.append(Choice(instruction: next, place: end, lowest: end)) }
    return true
  }

  /// The next way to try: a branch not taken, or a span one character shorter.
  private func resume(_ text: UnsafeRawBufferPointer, _ choices: inout [Choice]) -> (Int, Int)? {
    guard var choice = choices.popLast() else { return nil }
    guard choice.place > choice.lowest else { return (choice.instruction, choice.place) }
    _ = stepBack(text, &choice.place)
    if choice.place > choice.lowest { choices.append(choice) }
    return (choice.instruction, choice.place)
  }

  private func stepBack(_ text: UnsafeRawBufferPointer, _ place: inout Int) -> Bool {
    guard place > 0 else { return false }
    place -= 1
    while place > 0, text[place] & 0xC0 == 0x80 { place -= 1 }
    return true
  }

  private func holds(_ anchor: PatternNode.Anchor, _ text: UnsafeRawBufferPointer, _ place: Int) -> Bool {
    switch anchor {
    case .textStart: place == 0
    case .textEnd: place == text.count
    case .lineStart: place == 0 || text[place - 1] == 0x0A
    case .lineEnd: place == text.count || text[place] == 0x0A
    }
  }
}
