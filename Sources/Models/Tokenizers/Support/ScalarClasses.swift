/// What patterns and normalizers ask about a Unicode scalar, as bits of one word.
struct ScalarClasses: OptionSet, Sendable, Hashable {
  let rawValue: UInt32
  init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Bits 0…29 are the general categories, in the order of `bit(of:)`.
  static let space = ScalarClasses(rawValue: 1 << 30)
  /// `\w`: alphabetic, marks, decimal digits, connectors, join controls.
  static let word = ScalarClasses(rawValue: 1 << 31)

  static let letter: ScalarClasses = named("L") ?? []
  static let mark: ScalarClasses = named("M") ?? []
  static let number: ScalarClasses = named("N") ?? []
  static let punctuation: ScalarClasses = named("P") ?? []

  private static let names = [
    "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf",
    "Po",
    "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn",
  ]

  /// The categories that `name` stands for, as in `\p{L}` or `\p{Lu}`; nil for an unknown name.
  static func named(_ name: String) -> ScalarClasses? {
    var bits: UInt32 = 0
    for (place, category) in names.enumerated() where category == name || String(category.prefix(1)) == name {
      bits |= 1 << UInt32(place)
    }
    return bits == 0 ? nil : ScalarClasses(rawValue: bits)
  }

  /// The classes of `scalar`.
  @inline(__always)
  static func of(_ scalar: Unicode.Scalar) -> ScalarClasses {
    scalar.value < tableSize ? table[Int(scalar.value)] : compute(scalar)
  }

  private static let tableSize: UInt32 = 0x3000
  private static let table: [ScalarClasses] = (0..<tableSize).map { value in
    Unicode.Scalar(value).map(compute) ?? []
  }

  private static func compute(_ scalar: Unicode.Scalar) -> ScalarClasses {
    let properties = scalar.properties
    let category = properties.generalCategory
    var bits: UInt32 = 1 << bit(of: category)
    if properties.isWhitespace { bits |= space.rawValue }
    let wordLike: [Unicode.GeneralCategory] = [
      .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation,
    ]
    if properties.isAlphabetic || properties.isJoinControl || wordLike.contains(category) {
      bits |= word.rawValue
    }
    return ScalarClasses(rawValue: bits)
  }

  private static func bit(of category: Unicode.GeneralCategory) -> UInt32 {
    switch category {
    case .uppercaseLetter: 0
    case .lowercaseLetter: 1
    case .titlecaseLetter: 2
    case .modifierLetter: 3
    case .otherLetter: 4
    case .nonspacingMark: 5
    case .spacingMark: 6
    case .enclosingMark: 7
    case .decimalNumber: 8
    case .letterNumber: 9
    case .otherNumber: 10
    case .connectorPunctuation: 11
    case .dashPunctuation: 12
    case .openPunctuation: 13
    case .closePunctuation: 14
    case .initialPunctuation: 15
    case .finalPunctuation: 16
    case .otherPunctuation: 17
    case .mathSymbol: 18
    case .currencySymbol: 19
    case .modifierSymbol: 20
    case .otherSymbol: 21
    case .spaceSeparator: 22
    case .lineSeparator: 23
    case .paragraphSeparator: 24
    case .control: 25
    case .format: 26
    case .surrogate: 27
    case .privateUse: 28
    case .unassigned: 29
    @unknown default: 29
    }
  }
}
