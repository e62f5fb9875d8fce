/// A terminal's screen: what a person sees of a program's output. It knows the sequences that the program sends, and no more.
struct Screen {
  /// The lines; the ones that scrolled off are kept.
  private(set) var lines: [[Character]] = [[]]
  /// Sequences that it does not know.
  private(set) var unknown: [String] = []
  /// The most columns that a line had before it was broken by the terminal.
  private(set) var breaks = 0
  /// Whether anything was coloured.
  private(set) var hasColours = false
  private var row = 0
  private var column = 0
  private let width: Int

  init(width: Int) { self.width = width }

  /// The screen as text, without empty lines at its end.
  var text: String {
    var rows = lines.map { String($0) }
    while rows.last?.isEmpty ?? false { rows.removeLast() }
    return rows.joined(separator: "\n")
  }

  /// Shows `output`; what is seen before each sequence, and at the end, is given to `look`.
  mutating func show(_ output: String, look: (String) -> Void = { _ in }) {
    var rest = ArraySlice(Array(output.unicodeScalars))
    while let scalar = rest.popFirst() {
      switch scalar {
      case "\u{1B}":
        look(text)
        escape(&rest)
      case "\r": column = 0
      case "\n":
        row += 1
        if row == lines.count { lines.append([]) }
      default: put(Character(scalar))
      }
    }
    look(text)
  }

  private mutating func put(_ character: Character) {
    if column == width {
      breaks += 1
      row += 1
      column = 0
      if row == lines.count { lines.append([]) }
    }
    while lines[row].count < column { lines[row].append(" ") }
    if column < lines[row].count {
      lines[row][column] = character
    } else {
      lines[row].append(character)
    }
    column += 1
  }

  /// Obeys the sequence that `rest` goes on with, and takes it off.
  private mutating func escape(_ rest: inout ArraySlice<Unicode.Scalar>) {
    guard rest.popFirst() == "[" else { return unknown.append("no [") }
    var number = ""
    while let digit = rest.first, ("0"..."9").contains(digit) || digit == ";" {
      number.unicodeScalars.append(digit)
      rest.removeFirst()
    }
    switch rest.popFirst() {
    case "A": row = max(0, row - (Int(number) ?? 1))
    case "J":
      lines = Array(lines[...row])
      lines[row] = Array(lines[row].prefix(column))
    case "K": lines[row] = Array(lines[row].prefix(column))
    case "m": hasColours = true
    case let other: unknown.append("[\(number)\(other.map(String.init) ?? "")")
    }
  }
}
