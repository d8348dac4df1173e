//! Distinguished names as RFC 2253 writes them, which is what Envoy puts into
//! `x-forwarded-client-cert`.

use std::fmt::Write;

use x509_parser::der_parser::asn1_rs::{Any, Tag};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::hexadecimal;

/// The most specific part first, separated by commas; several attributes of one part by `+`, and
/// these in reverse order too, as OpenSSL writes them.
pub(super) fn rfc2253(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|part| {
            let mut attributes: Vec<String> = part.iter().map(attribute).collect();
            attributes.reverse();
            attributes.join("+")
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

/// `CN=value`. An attribute without a short name, or whose value is no text, is written as its
/// object identifier and `#` with the encoded value.
fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let value = attribute.attr_value();
    let identifier = attribute.attr_type().to_id_string();
    match (short_name(&identifier), text(value)) {
        (Some(name), Some(text)) => format!("{name}={}", escape(&text)),
        (name, _) => {
            let value = hexadecimal(&encoded(value)).to_uppercase();
            format!("{}=#{value}", name.unwrap_or(&identifier))
        }
    }
}

/// The names that OpenSSL, and with it Envoy, gives to the attributes in use.
fn short_name(identifier: &str) -> Option<&'static str> {
    Some(match identifier {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.42" => "GN",
        "2.5.4.97" => "organizationIdentifier",
        "1.2.840.113549.1.9.1" => "emailAddress",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        _ => return None,
    })
}

fn text(value: &Any<'_>) -> Option<String> {
    let data = value.data;
    match value.tag() {
        Tag::Utf8String
        | Tag::PrintableString
        | Tag::Ia5String
        | Tag::NumericString
        | Tag::VisibleString => std::str::from_utf8(data).ok().map(str::to_owned),
        // Latin-1, as everybody reads it.
        Tag::T61String => Some(data.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let units = data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            String::from_utf16(&units.collect::<Vec<_>>()).ok()
        }
        _ => None,
    }
}

/// The value with its tag and length; names are far shorter than the two length bytes can say.
fn encoded(value: &Any<'_>) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_tagged_der(&yasna::models::TaggedDerValue::from_tag_and_bytes(
            yasna::Tag {
                tag_class: yasna::TagClass::Universal,
                tag_number: u64::from(value.tag().0),
            },
            value.data.to_vec(),
        ));
    })
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (index, character) in text.chars().enumerate() {
        let at_edge = index == 0 || index == last;
        match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => out.extend(['\\', character]),
            '#' if index == 0 => out.push_str("\\#"),
            ' ' if at_edge => out.push_str("\\ "),
            ' '..='~' => out.push(character),
            _ => {
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    write!(out, "\\{byte:02X}").expect("writing to a string does not fail");
                }
            }
        }
    }
    out
}
