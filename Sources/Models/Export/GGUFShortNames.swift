import ModelFiles

/// Names that GGUF readers refuse (over 63 bytes; T5 has some), shortened, with the originals kept in the metadata.
enum GGUFShortNames {
  /// The entry with the originals: short name, original, short name, original …
  static let key = "compress.tensor_names"
  private static let longest = 63
  private static let kept = 44

  /// `tensors` under names that fit, and the entry that tells the originals; no entry where all fit.
  static func shortened(_ tensors: [StoredTensor]) -> (tensors: [StoredTensor], entries: [GGUFEntry]) {
    var taken = Set(tensors.map(\.name))
    var pairs: [String] = []
    let result = tensors.enumerated().map { place, tensor in
      guard tensor.name.utf8.count > longest else { return tensor }
      var tensor = tensor
      // The end of a name tells most; the place makes it unique.
      let end = String(decoding: tensor.name.utf8.suffix(kept), as: UTF8.self)
      var short = "\(place).\(end)"
      while !taken.insert(short).inserted { short = "_" + short }
      pairs += [short, tensor.name]
      tensor.name = short
      return tensor
    }
    return (result, pairs.isEmpty ? [] : [GGUFEntry(key, .strings(pairs))])
  }

  /// `tensors` under the originals that `metadata` tells.
  static func restored(_ tensors: [StoredTensor], _ metadata: [GGUFEntry]) -> [StoredTensor] {
    guard case .strings(let pairs)? = metadata.first(where: { $0.key == key })?.value else { return tensors }
    let used = pairs.count - pairs.count % 2
    let originals = Dictionary(
      stride(from: 0, to: used, by: 2).map { (pairs[$0], pairs[$0 + 1]) },
      uniquingKeysWith: { first, _ in first })
    let result = tensors.map { tensor in
      var tensor = tensor
      tensor.name = originals[tensor.name] ?? tensor.name
      return tensor
    }
    // A foreign file's entry must not make two tensors one.
    return Set(result.map(\.name)).count == tensors.count ? result : tensors
  }
}
