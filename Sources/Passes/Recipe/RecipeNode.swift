internal import Yams

/// A mapping of a recipe file, read strictly: every key must be taken, so an unknown or misspelt key is an error.
public struct RecipeMapping {
  let path: String
  let line: Int?
  private let name: String
  private var members: [(key: String, node: Node)]
  private var taken: Set<String> = []

  /// The mapping at `node`, called `name` in messages.
  init(_ node: Node, name: String, path: String) throws(RecipeError) {
    self.path = path
    self.line = node.mark?.line
    self.name = name
    guard case .mapping(let mapping) = node else {
      throw RecipeError(path: path, line: node.mark?.line, "\(name) must be a mapping of keys to values")
    }
    members = []
    for (keyNode, value) in mapping {
      guard let key = keyNode.string else {
        throw RecipeError(path: path, line: keyNode.mark?.line, "a key of \(name) is no string")
      }
      members.append((key, value))
    }
  }

  /// The keys in order.
  public var keys: [String] { members.map(\.key) }

  private mutating func take(_ key: String) -> Node? {
    taken.insert(key)
    return members.first { $0.key == key }?.node
  }

  /// A failure at this mapping.
  public func failure(_ message: String) -> RecipeError { RecipeError(path: path, line: line, message) }

  /// The string at `key`, or nil.
  public mutating func string(_ key: String) throws(RecipeError) -> String? {
    guard let node = take(key) else { return nil }
    guard case .scalar(let scalar) = node else { throw wrong(key, node, "a word") }
    return scalar.string
  }

  /// The whole number at `key`, or nil.
  public mutating func integer(_ key: String, in range: ClosedRange<Int>) throws(RecipeError) -> Int? {
    guard let node = take(key) else { return nil }
    guard let value = node.int, range.contains(value) else {
      throw wrong(key, node, "a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  /// The number at `key`, or nil.
  public mutating func number(_ key: String, in range: ClosedRange<Double>) throws(RecipeError) -> Double? {
    guard let node = take(key) else { return nil }
    guard let value = node.float, range.contains(value) else {
      throw wrong(key, node, "a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  /// The boolean at `key`, or nil.
  public mutating func boolean(_ key: String) throws(RecipeError) -> Bool? {
    guard let node = take(key) else { return nil }
    guard let value = node.bool else { throw wrong(key, node, "true or false") }
    return value
  }

  /// The mapping at `key`, or nil.
  public mutating func mapping(_ key: String) throws(RecipeError) -> RecipeMapping? {
    guard let node = take(key) else { return nil }
    return try RecipeMapping(node, name: "'\(key)'", path: path)
  }

  /// The list of mappings at `key`, or nil.
  public mutating func mappings(_ key: String) throws(RecipeError) -> [RecipeMapping]? {
    guard let node = take(key) else { return nil }
    guard case .sequence(let sequence) = node else { throw wrong(key, node, "a list") }
    var result: [RecipeMapping] = []
    for (index, element) in sequence.enumerated() {
      result.append(try RecipeMapping(element, name: "entry \(index + 1) of '\(key)'", path: path))
    }
    return result
  }

  /// The list of integers at `key`, at most 64 of them, or nil.
  public mutating func integers(_ key: String, in range: ClosedRange<Int>) throws(RecipeError) -> [Int]? {
    guard let node = take(key) else { return nil }
    let expected = "a list of integers from \(range.lowerBound) to \(range.upperBound)"
    guard case .sequence(let sequence) = node, sequence.count <= 64 else { throw wrong(key, node, expected) }
    var result: [Int] = []
    for element in sequence {
      guard let value = element.int, range.contains(value) else { throw wrong(key, node, expected) }
      result.append(value)
    }
    return result
  }

  /// Throws when a key is left that nobody asked for; `known` is named in the message.
  public func finish(known: [String]) throws(RecipeError) {
    guard let unknown = members.first(where: { !taken.contains($0.key) }) else { return }
    throw RecipeError(
      path: path, line: unknown.node.mark?.line ?? line,
      "unknown key '\(unknown.key)' in \(name); known are \(known.joined(separator: ", "))")
  }

  private func wrong(_ key: String, _ node: Node, _ expected: String) -> RecipeError {
    RecipeError(path: path, line: node.mark?.line, "'\(key)' in \(name) must be \(expected)")
  }
}

extension RecipeMapping {
  /// Aliases of aliases stand for more nodes than memory holds after a few lines; recipes hardly need one.
  private static let aliasLimit = 8

  /// How many words of `text` may be aliases (`*name`), those inside of quotes included.
  private static func aliasCount(_ text: String) -> Int {
    var count = 0
    var isStart = true
    for byte in text.utf8 {
      if byte == UInt8(ascii: "*"), isStart { count += 1 }
      isStart = byte <= 0x20 || "[{,:-?".utf8.contains(byte)
    }
    return count
  }

  /// The top mapping of a YAML text. Repeated keys are refused by the parser.
  static func parse(_ text: String, path: String) throws(RecipeError) -> RecipeMapping {
    let aliases = aliasCount(text)
    guard aliases <= aliasLimit else {
      throw RecipeError(
        path: path, "the recipe has \(aliases) YAML aliases, \(aliasLimit) are allowed; write the values out")
    }
    let node: Node?
    do {
      node = try Yams.compose(yaml: text)
    } catch let error as YamlError {
      throw RecipeError(path: path, "no valid YAML: \(RecipeMapping.oneLine(error))")
    } catch {
      throw RecipeError(path: path, "no valid YAML")
    }
    guard let node else {
      throw RecipeError(path: path, "the recipe is empty; name at least one pass under 'stages'")
    }
    return try RecipeMapping(node, name: "the recipe", path: path)
  }

  private static func oneLine(_ error: YamlError) -> String {
    switch error {
    case .parser(_, let problem, let mark, _), .scanner(_, let problem, let mark, _),
      .composer(_, let problem, let mark, _):
      "\(problem) at line \(mark.line)"
    case .duplicatedKeysInMapping(let duplicates, _):
      "repeated key \(duplicates.map { "'\($0)'" }.joined(separator: ", "))"
    default: "unreadable"
    }
  }
}
