/// A set of Unicode scalars: what a bracket expression, an escape or a literal of a pattern matches.
struct ScalarSet: Sendable, Equatable {
  private var ranges: [ClosedRange<UInt32>] = []
  private var classes: ScalarClasses = []
  /// Complements of classes: `\P{L}`, `\S`.
  private var complements: [ScalarClasses] = []
  private var isNegated = false
  private var asciiLow: UInt64 = 0
  private var asciiHigh: UInt64 = 0

  /// A set of these parts.
  init(
    ranges: [ClosedRange<UInt32>] = [], classes: ScalarClasses = [], complements: [ScalarClasses] = [],
    isNegated: Bool = false
  ) {
    self.ranges = ranges
    self.classes = classes
    self.complements = complements
    self.isNegated = isNegated
    for value in UInt32(0)..<128 {
      guard let scalar = Unicode.Scalar(value), search(scalar) else { continue }
      if value < 64 { asciiLow |= 1 << UInt64(value) } else { asciiHigh |= 1 << UInt64(value - 64) }
    }
  }

  /// The set of one scalar.
  init(_ scalar: Unicode.Scalar) { self.init(ranges: [scalar.value...scalar.value]) }

  /// Whether `scalar` is in the set.
  @inline(__always)
  func contains(_ scalar: Unicode.Scalar) -> Bool {
    let value = scalar.value
    if value < 64 { return asciiLow >> UInt64(value) & 1 == 1 }
    if value < 128 { return asciiHigh >> UInt64(value - 64) & 1 == 1 }
    return search(scalar)
  }

  private func search(_ scalar: Unicode.Scalar) -> Bool {
    let value = scalar.value
    for range in ranges where range.contains(value) { return !isNegated }
    guard !classes.isEmpty || !complements.isEmpty else { return isNegated }
    let own = ScalarClasses.of(scalar)
    if !own.isDisjoint(with: classes) { return !isNegated }
    for complement in complements where own.isDisjoint(with: complement) { return !isNegated }
    return isNegated
  }

  /// The set with the other cases of its single scalars, as `(?i:…)` wants it.
  func ignoringCase() -> ScalarSet {
    var wider = ranges
    for range in ranges where range.count <= 0x400 {
      for value in range {
        guard let scalar = Unicode.Scalar(value) else { continue }
        wider += ScalarSet.cases(of: scalar).map { $0...$0 }
      }
    }
    return ScalarSet(ranges: wider, classes: classes, complements: complements, isNegated: isNegated)
  }

  private static func cases(of scalar: Unicode.Scalar) -> [UInt32] {
    var others = [scalar.properties.lowercaseMapping, scalar.properties.uppercaseMapping]
      .compactMap { $0.unicodeScalars.count == 1 ? $0.unicodeScalars.first?.value : nil }
    // Scalars that fold to ASCII letters from outside of ASCII: long s and the kelvin sign.
    if scalar == "s" || scalar == "S" { others.append(0x17F) }
    if scalar == "k" || scalar == "K" { others.append(0x212A) }
    return others
  }
}
