import Models

/// What a student has of its teacher's sizes.
public struct StudentShape: Sendable, Equatable {
  /// The number of blocks; nil for all.
  public var layers: Int?
  /// The shares of hidden channels, feed-forward neurons and heads; nil for all.
  public var width, neurons, heads: Double?
  /// The share of all weights, in place of sizes.
  public var parameters: Double?
  /// A `config.json` that states the sizes, in place of all of these.
  public var configuration: String?

  /// The teacher's sizes.
  public init() {}

  /// The shape of a text such as `layers=4,width=0.75,ffn=0.5,heads=0.5`, or `params=0.5`; nil for anything else. Shares above 1
  /// are read, so that they can be refused with their reason.
  public init?(_ text: String) {
    var seen: Set<Substring> = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let pair = part.split(separator: "=", omittingEmptySubsequences: false)
      guard pair.count == 2, seen.insert(pair[0]).inserted else { return nil }
      if pair[0] == "layers" {
        guard let number = Int(pair[1]), number > 0, number < 4096 else { return nil }
        layers = number
        continue
      }
      guard let share = Double(pair[1]), share > 0, share <= 100 else { return nil }
      switch pair[0] {
      case "width": width = share
      case "ffn": neurons = share
      case "heads": heads = share
      case "params": parameters = share
      default: return nil
      }
    }
  }

  /// What goes of `architecture`'s sizes.
  ///
  /// - Throws: ``PassError`` when the student would be no smaller than its teacher.
  func shares(of checkpoint: Checkpoint, _ architecture: any ResizableArchitecture) throws -> StructureShares
  {
    if let parameters { return try shares(leaving: parameters, of: checkpoint, architecture) }
    for (name, share) in [("width", width), ("ffn", neurons), ("heads", heads)] {
      if let share, share > 1 {
        throw PassError(
          "\(name)=\(share): a student cannot be larger than its teacher; shares are what is left, 0 to 1")
      }
    }
    var shares = StructureShares()
    if let layers {
      guard layers <= architecture.blockCount else {
        throw PassError(
          "layers=\(layers): a student cannot be larger than its teacher, which has \(architecture.blockCount)"
        )
      }
      shares.layers = architecture.blockCount - layers
    }
    shares.width = 1 - (width ?? 1)
    shares.neurons = 1 - (neurons ?? 1)
    shares.heads = 1 - (heads ?? 1)
    return shares
  }

  /// Neurons and half as many heads go first, up to half of them, then blocks.
  private func shares(
    leaving target: Double, of checkpoint: Checkpoint, _ architecture: any ResizableArchitecture
  ) throws -> StructureShares {
    guard target < 1 else {
      throw PassError("params=\(target): a student cannot be larger than its teacher")
    }
    let all = Double(checkpoint.parameterCount)
    for layers in 0..<architecture.blockCount {
      for step in 0...10 {
        var shares = StructureShares()
        shares.layers = layers
        shares.neurons = Double(step) / 20
        if architecture.unitCount(.heads) != nil { shares.heads = shares.neurons / 2 }
        guard let sizes = try? StructureSizes(shares, of: architecture),
          let smaller = try? checkpoint.cutting(sizes.leadingCut(of: architecture))
        else { continue }
        if Double(smaller.parameterCount) <= target * all { return shares }
      }
    }
    throw PassError(
      "params=\(target): one block with half of its neurons still has more weights; cut the width, too: "
        + "layers=1,width=0.5,ffn=0.5")
  }

  /// A short name: "layers4-width75".
  var label: String {
    func percent(_ share: Double) -> String { SparsityPattern.share(share).label }
    if configuration != nil { return "student" }
    return [
      layers.map { "layers\($0)" }, width.map { "width\(percent($0))" }, neurons.map { "ffn\(percent($0))" },
      heads.map { "heads\(percent($0))" }, parameters.map { "params\(percent($0))" },
    ].compactMap { $0 }.joined(separator: "-")
  }
}
