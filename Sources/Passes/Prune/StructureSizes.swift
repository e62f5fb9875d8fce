package import Models

/// How much of a model's sizes is to go, and what stays.
public struct StructureShares: Sendable, Equatable {
  /// The share of key-value heads, with their queries, that is cut in each block, 0 … 1.
  public var heads = 0.0
  /// The share of feed-forward neurons that is cut in each block, 0 … 1.
  public var neurons = 0.0
  /// The number of blocks that are cut.
  public var layers = 0
  /// The share of hidden channels that is cut, 0 … 1.
  public var width = 0.0

  /// Nothing.
  public init() {}

  /// The shares of a text such as `heads=0.25,ffn=0.3,layers=2,width=0.125`; nil for anything else.
  public init?(_ text: String) {
    var seen: Set<Substring> = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let pair = part.split(separator: "=", omittingEmptySubsequences: false)
      guard pair.count == 2, seen.insert(pair[0]).inserted else { return nil }
      if pair[0] == "layers" {
        guard let number = Int(pair[1]), number >= 0, number < 4096 else { return nil }
        layers = number
        continue
      }
      guard case .share(let share)? = SparsityPattern(String(pair[1])), share < 1 else { return nil }
      switch pair[0] {
      case "heads": heads = share
      case "ffn": neurons = share
      case "width": width = share
      default: return nil
      }
    }
  }

  /// Whether nothing is cut.
  public var isEmpty: Bool { self == StructureShares() }
}

/// The numbers of units that stay.
package struct StructureSizes: Sendable, Equatable {
  /// Units that stay, of sizes that change.
  package var kept: [StructureKind: Int] = [:]
  /// Blocks that stay.
  package var blocks: Int

  /// All units of `blocks` blocks.
  package init(blocks: Int) { self.blocks = blocks }

  /// What stays of `architecture` when `shares` go: numbers that formats like, near what was asked for.
  ///
  /// - Throws: ``PassError`` when nothing would be left, or the architecture does not allow it.
  package init(_ shares: StructureShares, of architecture: any ResizableArchitecture) throws {
    blocks = architecture.blockCount - shares.layers
    guard blocks > 0 else {
      throw PassError("\(shares.layers) layers cannot be cut of \(architecture.blockCount)")
    }
    for (kind, share) in [
      (StructureKind.heads, shares.heads), (.neurons, shares.neurons), (.width, shares.width),
    ] where share > 0 {
      guard let units = architecture.unitCount(kind) else {
        throw PassError("\(kind.rawValue): \(architecture.obstacle(kind))")
      }
      let rest =
        kind == .heads
        ? Int((Double(units) * (1 - share)).rounded())
        : StructureSizes.rounded(Double(units) * (1 - share), of: units)
      guard rest > 0 else {
        throw PassError("\(kind.rawValue): \(share) of \(units) leaves none; cut less")
      }
      if rest < units { kept[kind] = rest }
    }
  }

  /// The number nearest to `wanted` that divides by 256, 128, 64, 32, 16 or 8: the first of these that is within a sixteenth of all
  /// `units`, so that rows go on dividing by the blocks of formats. Else the nearest number.
  package static func rounded(_ wanted: Double, of units: Int) -> Int {
    for multiple in [256, 128, 64, 32, 16, 8] {
      let number = Int((wanted / Double(multiple)).rounded()) * multiple
      if number > 0, number < units, abs(Double(number) - wanted) <= Double(units) / 16 { return number }
    }
    return min(units, Int(wanted.rounded()))
  }

  /// The cut that takes the first units and blocks: which ones go is chosen later, shapes and counts are the same.
  package func leadingCut(of architecture: any ResizableArchitecture) -> StructureCut {
    var cut = StructureCut(blocks: Array(0..<blocks))
    if let heads = kept[.heads] { cut.heads = Array(repeating: Array(0..<heads), count: blocks) }
    if let neurons = kept[.neurons] { cut.neurons = Array(repeating: Array(0..<neurons), count: blocks) }
    if let width = kept[.width] { cut.width = Array(0..<width) }
    return cut
  }

  /// Shares that leave at most `target` of the model's weights: neurons go first, heads half as much, channels and layers not at all.
  ///
  /// - Throws: ``PassError`` when that would take more than ``mostNeurons`` of the neurons.
  package static func shares(
    leaving target: Double, of checkpoint: Checkpoint, _ architecture: any ResizableArchitecture
  ) throws -> StructureShares {
    let all = Double(checkpoint.parameterCount)
    for step in 1...Int(mostNeurons * 100) {
      var shares = StructureShares()
      shares.neurons = Double(step) / 100
      if architecture.unitCount(.heads) != nil { shares.heads = shares.neurons / 2 }
      guard let sizes = try? StructureSizes(shares, of: architecture),
        let smaller = try? checkpoint.cutting(sizes.leadingCut(of: architecture))
      else { continue }
      if Double(smaller.parameterCount) <= target * all { return shares }
    }
    throw PassError(
      "\(target) of the weights cannot be had by heads and feed-forward neurons alone; add layers or width with "
        + "--prune-structure")
  }

  /// No more neurons than this are cut for a target.
  private static let mostNeurons = 0.75
}
