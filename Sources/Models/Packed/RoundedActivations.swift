import ModelFiles

/// Which layers of a `compressed-tensors` model have activations in 8 bits with one scale a token, by `config_groups`.
struct RoundedActivations {
  /// The targets of each group, and whether it rounds.
  private var groups: [(targets: [String], rounds: Bool)] = []

  /// Reads `quantization_config`.
  ///
  /// - Throws: ``ModelError`` for activations that are rounded in another way.
  init(_ settings: JSONValue) throws {
    for (name, group) in settings["config_groups"]?.objectValue?.members ?? [] {
      let targets = group["targets"]?.arrayValue?.compactMap(\.stringValue) ?? []
      let activations = group["input_activations"]
      let isGiven = activations?.objectValue != nil
      if isGiven, let activations { try RoundedActivations.check(activations, group: name) }
      groups.append((targets, isGiven))
    }
  }

  private static func check(_ activations: JSONValue, group: String) throws {
    let isKnown =
      activations["type"]?.stringValue ?? "int" == "int" && activations["num_bits"]?.intValue ?? 8 == 8
      && activations["symmetric"]?.boolValue ?? true && activations["strategy"]?.stringValue == "token"
      && activations["dynamic"]?.boolValue == true
    guard isKnown else {
      throw ModelError(
        .unsupported, "",
        "compressed-tensors group '\(group)' rounds activations in a way that is not read here (8-bit integers are, "
          + "symmetric, one scale a token, dynamic); start from the original checkpoint")
    }
  }

  /// Whether a module's activations are rounded.
  ///
  /// - Throws: ``ModelError`` when groups differ and their targets are patterns other than those that end in a name.
  func contains(_ module: String) throws -> Bool {
    guard let first = groups.first else { return false }
    if groups.allSatisfy({ $0.rounds == first.rounds }) { return first.rounds }
    // A name, or a pattern for it, goes before the class of all layers.
    for group in groups where try group.targets.contains(where: { try matches($0, module) }) {
      return group.rounds
    }
    return groups.first { $0.targets.contains("Linear") }?.rounds ?? false
  }

  private func matches(_ target: String, _ module: String) throws -> Bool {
    guard target.hasPrefix("re:") else { return target == module }
    let (start, pattern) = ("re:.*\\.", target.dropFirst("re:.*\\.".count))
    let ending = pattern.last == "$" ? pattern.dropLast() : pattern
    guard target.hasPrefix(start), target.hasSuffix("$"),
      ending.utf8.allSatisfy({ UInt8(ascii: "_") == $0 || (48...57).contains($0) || (97...122).contains($0) })
    else {
      throw ModelError(
        .unsupported, "",
        "compressed-tensors groups with and without rounded activations are told apart here by names, not by "
          + "'\(target)'; start from the original checkpoint")
    }
    return module.hasSuffix("." + ending)
  }
}
