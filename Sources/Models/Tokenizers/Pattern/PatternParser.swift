/// The syntax tree of a pattern.
indirect enum PatternNode {
  case set(ScalarSet)
  case sequence([PatternNode])
  case alternation([PatternNode])
  /// `minimum`…`maximum` (nil: no limit) times.
  case repetition(PatternNode, minimum: Int, maximum: Int?, Greed)
  /// `(?=…)`, `(?!…)`, and with one set `(?<=…)`, `(?<!…)`.
  case look(PatternNode, isNegative: Bool, isBehind: Bool)
  case anchor(Anchor)

  /// How a repetition gives back.
  enum Greed { case greedy, lazy, possessive }
  /// Places that take no text.
  enum Anchor { case textStart, textEnd, lineStart, lineEnd }

  /// Whether it can match nothing.
  var isNullable: Bool {
    switch self {
    case .set: false
    case .sequence(let nodes): nodes.allSatisfy(\.isNullable)
    case .alternation(let nodes): nodes.contains(where: \.isNullable)
    case .repetition(let node, let minimum, _, _): minimum == 0 || node.isNullable
    case .look, .anchor: true
    }
  }
}

/// Parses the patterns that tokenizers split texts by: the part of Oniguruma's syntax that they use.
///
/// Not read, and refused: back references, named groups, set operations, scripts, other inline options than `i`.
struct PatternParser {
  /// What is not understood, and at which scalar.
  struct Failure: Error {
    var message: String
    var offset: Int
  }

  private let scalars: [Unicode.Scalar]
  private var place = 0
  private var depth = 0

  /// Real patterns have a few hundred characters; the bound keeps compiling quick whatever they are.
  private static let lengthLimit = 1 << 14
  /// How many quantifiers may follow one another.
  private static let quantifierLimit = 8

  /// Parses `pattern`.
  static func parse(_ pattern: String) throws(Failure) -> PatternNode {
    guard pattern.utf8.count <= lengthLimit else {
      throw Failure(message: "more than \(lengthLimit) bytes", offset: 0)
    }
    var parser = PatternParser(scalars: Array(pattern.unicodeScalars))
    let node = try parser.alternation(ignoresCase: false)
    guard parser.place == parser.scalars.count else { throw parser.failure("an unmatched ')'") }
    return node
  }

  private init(scalars: [Unicode.Scalar]) { self.scalars = scalars }

  private func failure(_ message: String) -> Failure { Failure(message: message, offset: place) }
  private var current: Unicode.Scalar? { place < scalars.count ? scalars[place] : nil }

  private mutating func skip(_ text: String) -> Bool {
    guard scalars[place...].starts(with: text.unicodeScalars) else { return false }
    place += text.unicodeScalars.count
    return true
  }

  private mutating func alternation(ignoresCase: Bool) throws(Failure) -> PatternNode {
    depth += 1
    defer { depth -= 1 }
    guard depth < 64 else { throw failure("groups nested too deep") }
    var branches = [try sequence(ignoresCase: ignoresCase)]
    while skip("|") { branches.append(try sequence(ignoresCase: ignoresCase)) }
    return branches.count == 1 ? branches[0] : .alternation(branches)
  }

  private mutating func sequence(ignoresCase: Bool) throws(Failure) -> PatternNode {
    var nodes: [PatternNode] = []
    while let scalar = current, scalar != "|", scalar != ")" {
      let atom = try atom(ignoresCase: ignoresCase)
      nodes.append(try quantified(atom))
    }
    return nodes.count == 1 ? nodes[0] : .sequence(nodes)
  }

  private mutating func atom(ignoresCase: Bool) throws(Failure) -> PatternNode {
    guard let scalar = current else { throw failure("the pattern ends early") }
    place += 1
    switch scalar {
    case "(": return try group(ignoresCase: ignoresCase)
    case "[":
      let set = try bracket()
      return .set(ignoresCase ? set.ignoringCase() : set)
    case "\\": return try escape(ignoresCase: ignoresCase)
    case ".": return .set(ScalarSet(ranges: [10...10], isNegated: true))
    case "^": return .anchor(.lineStart)
    case "$": return .anchor(.lineEnd)
    case "*", "+", "?": throw failure("a quantifier without anything before it")
    default:
      let set = ScalarSet(scalar)
      return .set(ignoresCase ? set.ignoringCase() : set)
    }
  }

  private mutating func group(ignoresCase: Bool) throws(Failure) -> PatternNode {
    var node: PatternNode
    if skip("?:") {
      node = try alternation(ignoresCase: ignoresCase)
    } else if skip("?i:") {
      node = try alternation(ignoresCase: true)
    } else if skip("?>") {
      node = .repetition(try alternation(ignoresCase: ignoresCase), minimum: 1, maximum: 1, .possessive)
    } else if skip("?=") {
      node = .look(try alternation(ignoresCase: ignoresCase), isNegative: false, isBehind: false)
    } else if skip("?!") {
      node = .look(try alternation(ignoresCase: ignoresCase), isNegative: true, isBehind: false)
    } else if skip("?<=") || skip("?<!") {
      let isNegative = scalars[place - 1] == "!"
      let body = try alternation(ignoresCase: ignoresCase)
      guard case .set = body else { throw failure("look-behind for more than one character") }
      node = .look(body, isNegative: isNegative, isBehind: true)
    } else if current == "?" {
      throw failure("an unknown kind of group")
    } else {
      node = try alternation(ignoresCase: ignoresCase)
    }
    guard skip(")") else { throw failure("a group does not end") }
    return node
  }

  // MARK: Quantifiers

  private mutating func quantified(_ atom: PatternNode) throws(Failure) -> PatternNode {
    var node = atom
    var quantifiers = 0
    while let scalar = current {
      let start = place
      var bounds: (Int, Int?)?
      switch scalar {
      case "*": bounds = (0, nil)
      case "+": bounds = (1, nil)
      case "?": bounds = (0, 1)
      case "{": bounds = braces()
      default: break
      }
      guard let (minimum, maximum) = bounds else {
        place = start
        break
      }
      if scalar != "{" { place += 1 }
      var greed = PatternNode.Greed.greedy
      if skip("?") {
        greed = .lazy
      } else if scalar != "{", skip("+") {
        // After braces, Oniguruma reads "+" as another quantifier.
        greed = .possessive
      }
      quantifiers += 1
      guard quantifiers <= PatternParser.quantifierLimit else {
        throw failure("too many quantifiers in a row")
      }
      if case .look = node { throw failure("a repeated look-around") }
      if maximum == nil, node.isNullable { throw failure("a repetition of something that can be empty") }
      guard max(minimum, maximum ?? 0) <= 1000 else { throw failure("more than 1000 repetitions") }
      node = .repetition(node, minimum: minimum, maximum: maximum, greed)
    }
    return node
  }

  /// `{3}`, `{1,}`, `{1,3}`, `{,3}`; nil (and nothing read) for a literal brace.
  private mutating func braces() -> (Int, Int?)? {
    var digits: [String] = [""]
    var place = place + 1
    while place < scalars.count, scalars[place] != "}" {
      if scalars[place] == "," {
        digits.append("")
      } else if ("0"..."9").contains(scalars[place]), digits[digits.count - 1].count < 6 {
        digits[digits.count - 1].unicodeScalars.append(scalars[place])
      } else {
        return nil
      }
      place += 1
    }
    guard place < scalars.count, digits.count <= 2, digits.contains(where: { !$0.isEmpty }) else {
      return nil
    }
    self.place = place + 1
    let minimum = Int(digits[0]) ?? 0
    return (minimum, digits.count == 1 ? minimum : Int(digits[1]))
  }

  // MARK: Sets

  private mutating func escape(ignoresCase: Bool) throws(Failure) -> PatternNode {
    switch current {
    case "A":
      place += 1
      return .anchor(.textStart)
    case "z", "Z":
      place += 1
      return .anchor(.textEnd)
    case "b", "B", "G", "K", "X", "k", "g": throw failure("an unknown escape")
    default: break
    }
    switch try escapedItem() {
    case .scalar(let value):
      let set = ScalarSet(ranges: [value...value])
      return .set(ignoresCase ? set.ignoringCase() : set)
    case .classes(let classes): return .set(ScalarSet(classes: classes))
    case .complement(let classes): return .set(ScalarSet(complements: [classes]))
    }
  }

  private enum Item {
    case scalar(UInt32), classes(ScalarClasses), complement(ScalarClasses)
  }

  /// What follows a backslash.
  private mutating func escapedItem() throws(Failure) -> Item {
    guard let scalar = current else { throw failure("the pattern ends with a backslash") }
    place += 1
    let digit = ScalarClasses.named("Nd") ?? []
    switch scalar {
    case "s": return .classes(.space)
    case "S": return .complement(.space)
    case "d": return .classes(digit)
    case "D": return .complement(digit)
    case "w": return .classes(.word)
    case "W": return .complement(.word)
    case "n": return .scalar(0x0A)
    case "r": return .scalar(0x0D)
    case "t": return .scalar(0x09)
    case "f": return .scalar(0x0C)
    case "v": return .scalar(0x0B)
    case "p", "P": return try property(isNegated: scalar == "P")
    case "x", "u": return .scalar(try hexadecimal(isShort: scalar == "x"))
    case "a"..."z", "A"..."Z", "0"..."9": throw failure("the unknown escape '\\\(scalar)'")
    default: return .scalar(scalar.value)
    }
  }

  private mutating func property(isNegated: Bool) throws(Failure) -> Item {
    var name = ""
    if skip("{") {
      while let scalar = current, scalar != "}" {
        name.unicodeScalars.append(scalar)
        place += 1
      }
      guard skip("}") else { throw failure("a property does not end") }
    } else if let scalar = current {
      name.unicodeScalars.append(scalar)
      place += 1
    }
    let isInverted = name.hasPrefix("^")
    guard let classes = ScalarClasses.named(isInverted ? String(name.dropFirst()) : name) else {
      throw failure("the unknown property '\(name)'")
    }
    return isNegated != isInverted ? .complement(classes) : .classes(classes)
  }

  private mutating func hexadecimal(isShort: Bool) throws(Failure) -> UInt32 {
    var digits = ""
    if skip("{") {
      while let scalar = current, scalar != "}", digits.count < 8 {
        digits.unicodeScalars.append(scalar)
        place += 1
      }
      guard skip("}") else { throw failure("a character code does not end") }
    } else {
      while digits.count < (isShort ? 2 : 4), let scalar = current, scalar.properties.isASCIIHexDigit {
        digits.unicodeScalars.append(scalar)
        place += 1
      }
    }
    guard let value = UInt32(digits, radix: 16), Unicode.Scalar(value) != nil else {
      throw failure("no character code")
    }
    return value
  }

  private mutating func bracket() throws(Failure) -> ScalarSet {
    let isNegated = skip("^")
    var ranges: [ClosedRange<UInt32>] = []
    var classes: ScalarClasses = []
    var complements: [ScalarClasses] = []
    var isFirst = true
    while true {
      guard let scalar = current else { throw failure("a set does not end") }
      place += 1
      if scalar == "]", !isFirst { break }
      isFirst = false
      if scalar == "[" || (scalar == "&" && current == "&") { throw failure("a set inside a set") }
      let item = scalar == "\\" ? try escapedItem() : .scalar(scalar.value)
      switch item {
      case .classes(let more): classes.formUnion(more)
      case .complement(let more): complements.append(more)
      case .scalar(let low):
        guard current == "-", place + 1 < scalars.count, scalars[place + 1] != "]" else {
          ranges.append(low...low)
          continue
        }
        place += 1
        guard let next = current else { throw failure("a set does not end") }
        place += 1
        let end: Item = next == "\\" ? try escapedItem() : .scalar(next.value)
        guard case .scalar(let high) = end, low <= high else { throw failure("a range that is none") }
        ranges.append(low...high)
      }
    }
    return ScalarSet(ranges: ranges, classes: classes, complements: complements, isNegated: isNegated)
  }
}
