package import ModelFiles

extension BertArchitecture: ResizableArchitecture {
  package var blockCount: Int { configuration.blockCount }
  /// A norm stands behind each sublayer.
  package var blocksAddToStream: Bool { false }
  package func blockPrefix(_ index: Int) -> String { "encoder.layer.\(index)." }

  package func unitCount(_ kind: StructureKind) -> Int? {
    kind == .neurons ? configuration.intermediateSize : nil
  }

  package func obstacle(_ kind: StructureKind) -> String {
    "BERT's heads are hidden_size / num_attention_heads long, so neither can change alone; cut ffn or layers"
  }

  package func coupledTensors(_ kind: StructureKind, block: Int) -> [CoupledTensor] {
    guard kind == .neurons else { return [] }
    let prefix = blockPrefix(block)
    return [
      CoupledTensor(prefix + "intermediate.dense.weight", .rows),
      CoupledTensor(prefix + "intermediate.dense.bias", .rows),
      CoupledTensor(prefix + "output.dense.weight", .columns),
    ]
  }

  package func configuration(
    _ object: JSONObject, keepingBlocks blocks: [Int], sizes: [StructureKind: Int]
  ) -> JSONObject {
    var result = object
    result["num_hidden_layers"] = .integer(blocks.count)
    if let neurons = sizes[.neurons] { result["intermediate_size"] = .integer(neurons) }
    return result
  }
}
