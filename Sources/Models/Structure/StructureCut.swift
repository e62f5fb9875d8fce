package import ModelFiles

/// The sizes of a model that can be made smaller.
package enum StructureKind: String, Sendable, CaseIterable {
  /// Groups of query heads with the key and value head that they share, in each block.
  case heads
  /// Neurons of the feed-forward layers, in each block.
  case neurons = "ffn"
  /// Channels of the hidden states, in the whole model.
  case width
}

/// A tensor that a size runs through.
package struct CoupledTensor: Sendable {
  /// Which side of the tensor has the size.
  package enum Axis: Sendable {
    /// Rows, or the elements of a vector.
    case rows
    /// Columns: the tensor reads the units.
    case columns
  }
  /// The canonical name; it need not be there (biases).
  package let name: String
  package let axis: Axis
  /// How many rows or columns one unit has.
  package let length: Int

  package init(_ name: String, _ axis: Axis, length: Int = 1) {
    self.name = name
    self.axis = axis
    self.length = length
  }
}

/// An architecture whose models can be made smaller: it says what is cut along with what.
package protocol ResizableArchitecture: Architecture {
  /// The units of a size: in each block, or for `width` in the model. Nil where the architecture ties the size to another.
  func unitCount(_ kind: StructureKind) -> Int?
  /// Why a size cannot be cut, for ``unitCount(_:)`` of nil.
  func obstacle(_ kind: StructureKind) -> String
  /// Every tensor that a size runs through.
  ///
  /// - Parameter block: the block; ignored for `width`, whose tensors are those of the whole model.
  func coupledTensors(_ kind: StructureKind, block: Int) -> [CoupledTensor]
  /// What the names of a block's tensors begin with.
  func blockPrefix(_ index: Int) -> String
  /// The number of blocks.
  var blockCount: Int { get }
  /// Whether a block whose last matrices are zero does nothing, so that the model without it can be imitated.
  var blocksAddToStream: Bool { get }
  /// The configuration of a model with these blocks and sizes.
  ///
  /// - Parameters:
  ///   - blocks: the blocks that are kept.
  ///   - sizes: the new numbers of units.
  func configuration(
    _ configuration: JSONObject, keepingBlocks blocks: [Int], sizes: [StructureKind: Int]
  ) -> JSONObject
}

/// What is kept of a model.
package struct StructureCut: Sendable, Equatable {
  /// The blocks, ascending.
  package var blocks: [Int]
  /// The heads' groups of each kept block, ascending; empty for all.
  package var heads: [[Int]] = []
  /// The neurons of each kept block, ascending; empty for all.
  package var neurons: [[Int]] = []
  /// The channels, ascending; empty for all.
  package var width: [Int] = []

  /// A cut that keeps `blocks` whole.
  package init(blocks: [Int]) { self.blocks = blocks }

  /// The units of a size in the kept block at `place`; nil for all of them.
  func units(_ kind: StructureKind, place: Int) -> [Int]? {
    switch kind {
    case .heads: heads.isEmpty ? nil : heads[place]
    case .neurons: neurons.isEmpty ? nil : neurons[place]
    case .width: width.isEmpty ? nil : width
    }
  }

  /// The new sizes.
  var sizes: [StructureKind: Int] {
    var result: [StructureKind: Int] = [:]
    for kind in StructureKind.allCases where !blocks.isEmpty {
      if let units = units(kind, place: 0) { result[kind] = units.count }
    }
    return result
  }
}
